import Crypto
import Domain
import Gateway
import Runtime
import TestKit
import Testing

@testable import API

/// Tokens of an identity provider: good ones, and every forgery that the books know.
@Suite(.serialized)
struct IdentityTests {
    private static let now: Int64 = 1_800_000_000
    private static let rsa = Signer(.rs256, id: "rsa")
    private static let curve = Signer(.es256, id: "curve")
    private static let edwards = Signer(.edDSA, id: "edwards")
    /// Somebody whose key is in no set.
    private static let forger = Signer(.es256, id: "curve")

    private static let file = #"""
        {"issuer": "https://id.example/", "audience": ["turnpike", "other"], "keys": "/keys.json", "leeway_seconds": 30,
         "organization": {"claim": ["app", "tenant"]},
         "scopes": {"claim": "roles", "map": {"user": ["turns"], "chief": ["admin", "turns"]}}}
        """#

    private static func keys(_ signers: [Signer]) -> [UInt8] {
        JSONWriter.text(["keys": .array(signers.map(\.jwk))])
    }

    private static func provider(_ file: String = Self.file) throws -> IdentityProvider {
        IdentityProvider(
            try IdentityConfiguration(Array(file.utf8)),
            log: .silent,
            clock: { Self.now },
            fetch: { Self.keys([Self.rsa, Self.curve, Self.edwards]) }
        )
    }

    private static func claims(_ changes: [String: JSONValue] = [:], without missing: String? = nil) -> JSONValue {
        var claims: [String: JSONValue] = [
            "iss": "https://id.example/", "aud": "turnpike", "sub": "u-1", "exp": .integer(self.now + 60),
            "roles": ["user", "unknown"], "app": ["tenant": "acme"],
        ]
        claims.merge(changes) { $1 }
        if let missing { claims[missing] = nil }
        return .object(claims)
    }

    @Test("a token of each algorithm is believed, and says who, of what organization, with which scopes")
    func good() async throws {
        let provider = try Self.provider()
        for signer in [Self.rsa, Self.curve, Self.edwards] {
            let (principal, end) = try await provider.believe(signer.token(Self.claims()))
            #expect(principal.org.text == "acme" && principal.scopes == [.turns])
            #expect(principal.identity == Identity(issuer: "https://id.example/", subject: "u-1"))
            #expect(end == Self.now + 90)
        }
        let ids = try await [
            Self.claims(), Self.claims(["roles": "chief user"]), Self.claims(["sub": "u-2"]),
        ].asyncMap { try await provider.believe(Self.rsa.token($0)).principal }
        #expect(ids[0].token == ids[1].token && ids[0].token != ids[2].token)
        #expect(ids[1].scopes == [.admin, .turns] && !ids[1].may(.operator))
        for good in [
            Self.claims(["aud": ["x", "other"]]), Self.claims(["exp": .integer(Self.now - 29)]),
            Self.claims(["exp": .number(1_800_000_030.5)]), Self.claims(["nbf": .integer(Self.now + 30)]),
        ] {
            _ = try await provider.believe(Self.curve.token(good, header: ["typ": "at+jwt"]))
        }
    }

    /// Each with the reason for which it must be refused.
    private static var forgeries: [(name: String, token: String, flaw: TokenFlaw)] {
        let claims = String(decoding: JSONWriter.text(self.claims()), as: UTF8.self)
        let good = self.curve.token(self.claims())
        let parts = good.split(separator: ".").map(String.init)
        func unsigned(_ header: [String: JSONValue], _ signature: [UInt8] = []) -> String {
            Signer.message(header, claims) + "." + Base64URL.encode(signature)
        }
        func hashed(_ key: [UInt8], _ id: String) -> String {
            let message = Signer.message(["alg": "HS256", "kid": .string(id)], claims)
            return message + "." + Base64URL.encode(Signer.hmac(message, key: key))
        }
        let modulus = Base64URL.decode((self.rsa.jwk["n"]?.text ?? "").utf8) ?? []
        let der = Self.curve.signature(Array(Signer.message(["alg": "ES256", "kid": "curve"], claims).utf8))
        return [
            ("no algorithm", unsigned(["alg": "none"]), .algorithm("none")),
            ("no algorithm, spelled oddly", unsigned(["alg": "NonE", "kid": "rsa"]), .algorithm("NonE")),
            ("no algorithm named", unsigned(["kid": "rsa"]), .algorithm("none")),
            ("the public key as a shared secret", hashed(JSONWriter.text(self.rsa.jwk), "rsa"), .algorithm("HS256")),
            ("the modulus as a shared secret", hashed(modulus, "rsa"), .algorithm("HS256")),
            ("an algorithm that is not on the list", unsigned(["alg": "PS256", "kid": "rsa"]), .algorithm("PS256")),
            (
                "one algorithm's key under another's name", self.rsa.token(self.claims(), header: ["alg": "ES256"]),
                .unknownKey
            ),
            ("a key that is not in the set", self.curve.token(self.claims(), header: ["kid": "none"]), .unknownKey),
            ("a key's name that is no text", self.curve.token(self.claims(), header: ["kid": 1]), .unknownKey),
            ("another key of the same name", self.forger.token(self.claims()), .signature),
            (
                "a key that it brings along", self.forger.token(self.claims(), header: ["jwk": self.forger.jwk]),
                .signature
            ),
            (
                "an address of keys", self.forger.token(self.claims(), header: ["jku": "https://evil.example/"]),
                .signature
            ),
            (
                "an address of a certificate",
                self.forger.token(self.claims(), header: ["x5u": "https://evil.example/", "x5c": ["AA"]]), .signature
            ),
            (
                "a header to understand", self.curve.token(self.claims(), header: ["crit": ["b64"], "b64": false]),
                .critical
            ),
            ("another type", self.curve.token(self.claims(), header: ["typ": "logout+jwt"]), .type("logout+jwt")),
            ("the DER form", unsigned(["alg": "ES256", "kid": "curve"], der), .signature),
            (
                "nothing but zeros", unsigned(["alg": "ES256", "kid": "curve"], Array(repeating: 0, count: 64)),
                .signature
            ),
            (
                "zeros of Ed25519", unsigned(["alg": "EdDSA", "kid": "edwards"], Array(repeating: 0, count: 64)),
                .signature
            ),
            ("zeros of RSA", unsigned(["alg": "RS256", "kid": "rsa"], Array(repeating: 0, count: 256)), .signature),
            ("no signature", unsigned(["alg": "ES256", "kid": "curve"]), .signature),
            (
                "other claims under a good signature",
                [parts[0], Base64URL.encode(Array(claims.replacing("acme", with: "evil").utf8)), parts[2]]
                    .joined(separator: "."), .signature
            ),
            ("a signature and a byte more", good + "AA", .signature),
            ("two parts", parts[0] + "." + parts[1], .notThreeParts),
            ("four parts", good + ".AA", .notThreeParts),
            ("padding", good + "==", .notBase64),
            ("another alphabet", parts[0] + "." + parts[1] + ".+/", .notBase64),
            ("a space", " " + good, .notBase64),
            ("bits left over", parts[0] + "." + parts[1] + ".AB", .notBase64),
            ("too much", self.curve.token(self.claims(["x": .string(String(repeating: "x", count: 8_192))])), .tooLong),
            ("text after the claims", self.curve.token(text: claims + "{}"), .notJSON("text after the value at byte")),
            ("claims that are no object", self.curve.token(text: "[]"), .notJSON("is no object")),
            ("a claim twice", self.curve.token(text: claims.dropLast() + #","aud":"x"}"#), .notJSON("occurs twice")),
            ("no issuer", self.curve.token(self.claims(without: "iss")), .claim("iss")),
            ("another issuer", self.curve.token(self.claims(["iss": "https://id.example"])), .claim("iss")),
            ("no audience", self.curve.token(self.claims(without: "aud")), .claim("aud")),
            ("another audience", self.curve.token(self.claims(["aud": ["x"]])), .claim("aud")),
            ("an empty audience", self.curve.token(self.claims(["aud": []])), .claim("aud")),
            ("no end", self.curve.token(self.claims(without: "exp")), .claim("exp")),
            ("an end in words", self.curve.token(self.claims(["exp": "1900000000"])), .claim("exp")),
            ("an end beyond all times", self.curve.token(self.claims(["exp": .number(1e300)])), .claim("exp")),
            ("an end that is past", self.curve.token(self.claims(["exp": .integer(self.now - 30)])), .expired),
            ("a beginning to come", self.curve.token(self.claims(["nbf": .integer(self.now + 31)])), .notYetValid),
            ("issued in the future", self.curve.token(self.claims(["iat": .integer(self.now + 31)])), .notYetValid),
            ("nobody", self.curve.token(self.claims(without: "sub")), .claim("sub")),
            ("no organization", self.curve.token(self.claims(without: "app")), .organization),
            ("no name for an organization", self.curve.token(self.claims(["app": ["tenant": "a b"]])), .organization),
        ]
    }

    @Test("a forged token is refused, each for its own reason")
    func forged() async throws {
        let provider = try Self.provider()
        for (name, token, flaw) in Self.forgeries {
            let thrown = await #expect(throws: TokenFlaw.self, "\(name)") { try await provider.believe(token) }
            switch (thrown, flaw) {
            case (.notJSON(let problem), .notJSON(let expected)): #expect(problem.contains(expected), "\(name)")
            default: #expect(thrown == flaw, "\(name)")
            }
        }
    }

    @Test("a file that would believe too much is refused")
    func files() throws {
        let good = Self.file
        for (part, other) in [
            (#""issuer": "https://id.example/""#, #""issuer": """#),
            (#"["turnpike", "other"]"#, "[]"),
            (#""/keys.json""#, #""http://id.example/keys""#),
            (#""/keys.json""#, #""/keys.json", "algorithms": ["HS256"]"#),
            (#""leeway_seconds": 30"#, #""leeway_seconds": 3000"#),
            (#"{"claim": ["app", "tenant"]}"#, "{}"),
            (#"{"claim": ["app", "tenant"]}"#, #"{"claim": "a", "fixed": "b"}"#),
            (#""user": ["turns"]"#, #""user": ["root"]"#),
            (#""issuer""#, #""jwks_from_token": true, "issuer""#),
        ] {
            #expect(good.contains(part))
            #expect(throws: IdentityConfiguration.Flaw.self, "\(other)") {
                try IdentityConfiguration(Array(good.replacing(part, with: other).utf8))
            }
        }
    }

    @Test("keys come and go, one look a minute at most, and a provider that is away takes none away for a day")
    func rotation() async throws {
        let start = ContinuousClock.now
        let state = Locked((time: start, fetches: 0, signers: [Self.curve], isAway: false))
        let cache = KeyCache(now: { state.withLock { $0.time } }) {
            let (signers, isAway) = state.withLock { state in
                state.fetches += 1
                return (state.signers, state.isAway)
            }
            if isAway { throw JSONFailure("away") }
            return Self.keys(signers)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    for turn in 0..<50 {
                        let key = try await cache.key("no-\(number)-\(turn)", for: .es256)
                        #expect(key == nil)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(state.withLock { $0.fetches } == 1)
        #expect(try await cache.key("curve", for: .es256) != nil)
        // A new key is found within a minute.
        state.withLock { $0.signers = [Self.edwards] }
        #expect(try await cache.key("edwards", for: .edDSA) == nil)
        state.withLock { $0.time = start + .seconds(61) }
        #expect(try await cache.key("edwards", for: .edDSA) != nil)
        #expect(try await cache.key("curve", for: .es256) == nil, "and the old one is gone with it")
        state.withLock { ($0.isAway, $0.time) = (true, start + .seconds(80_000)) }
        #expect(try await cache.key("edwards", for: .edDSA) != nil)
        #expect(state.withLock { $0.fetches } == 3)
        state.withLock { $0.time = start + .seconds(61 + 86_400) }
        await #expect(throws: JSONFailure.self) { try await cache.key("edwards", for: .edDSA) }
    }

    @Test("two keys of one name are none, and neither symmetric nor private keys are any")
    func keySets() throws {
        let twice = try KeySet(Self.keys([Self.curve, Self.forger]))
        #expect(twice.key("curve", for: .es256) == nil && twice.key(nil, for: .es256) == nil)
        let alone = try KeySet(Self.keys([Self.curve, Self.rsa]))
        #expect(alone.key(nil, for: .es256) != nil && alone.key("rsa", for: .es256) == nil)
        guard case .object(var key) = Self.curve.jwk else { return }
        for (name, value) in [("d", "AA"), ("use", "enc"), ("alg", "ES384"), ("crv", "P-384"), ("x", "AA")] {
            let kept = key[name]
            key[name] = .string(value)
            #expect(try KeySet(JSONWriter.text(["keys": [.object(key)]])).isEmpty, "\(name)")
            key[name] = kept
        }
        #expect(try KeySet(JSONWriter.text(["keys": [["kty": "oct", "k": "AAAA", "kid": "k"]]])).isEmpty)
        #expect(throws: JSONFailure.self) { try KeySet(Array("[]".utf8)) }
    }

    @Test("somebody with a good token works in their organization, as far as their roles reach, until it ends")
    func served() async throws {
        let time = Locked(Self.now)
        let provider = IdentityProvider(
            try IdentityConfiguration(Array(Self.file.utf8)),
            log: .silent,
            clock: { time.withLock { $0 } },
            fetch: { Self.keys([Self.curve]) }
        )
        try await APIFixture.with(provider: provider) { fixture in
            let user = Probe(port: fixture.port, token: Self.curve.token(Self.claims()))
            let session = try await user.send("GET", "/v1/session").json()
            #expect(session["organization"]?.text == "acme")
            #expect(try await user.send("GET", "/v1/agents/default/conversations").status == 200)
            #expect(try await user.send("GET", "/v1/tokens").status == 403)
            #expect(try await user.send("GET", "/v1/replicas").status == 403)
            #expect(try await user.send("POST", "/v1/session").status == 400)
            let unknown = Self.curve.token(Self.claims(["app": ["tenant": "nowhere"]]))
            #expect(try await Probe(port: fixture.port, token: unknown).send("GET", "/v1/session").status == 401)
            let forged = Self.forger.token(Self.claims())
            #expect(try await Probe(port: fixture.port, token: forged).send("GET", "/v1/session").status == 401)
            let chief = Probe(port: fixture.port, token: Self.curve.token(Self.claims(["roles": ["chief"]])))
            let agent = #"{"driver":"command","command":["cat"]}"#
            #expect(try await chief.send("PUT", "/v1/agents/theirs", agent).status == 200)
            let entries = try await chief.send("GET", "/v1/audit?limit=1").json()["entries"]?.elements
            #expect(entries?.first?["actor"]?.text == "identity:https://id.example/#u-1")
            let made = try await chief.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#).json()
            #expect(made["token"]?["expires_at"]?.text != nil, "it ends with the chief's")
            time.withLock { $0 += 90 }
            #expect(try await user.send("GET", "/v1/session").status == 401)
            // The gateway's own tokens are none of the provider's business.
            #expect(try await fixture.client.send("GET", "/v1/session").status == 200)
        }
    }
}

extension Array {
    fileprivate func asyncMap<Value>(_ transform: (Element) async throws -> Value) async rethrows -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}
