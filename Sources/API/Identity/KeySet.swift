import Crypto
import Domain

/// The public keys of an identity provider (a JWK Set, RFC 7517 section 5), as far as they are good for signatures that
/// are accepted here.
struct KeySet: Sendable {
    private let keys: [(id: String?, key: VerificationKey)]

    /// Reads a set. What is no key for a signature of ours is left out, as the specification asks; symmetric keys are,
    /// and so are private ones, which should not be here. Throws for what is no set.
    init(_ bytes: [UInt8]) throws(JSONFailure) {
        guard let elements = try JSONReader.read(bytes)["keys"]?.elements else {
            throw JSONFailure("a key set must be an object with an array keys", isMalformed: false)
        }
        self.keys = elements.compactMap { element in
            Self.key(element).map { (element["kid"]?.text, $0) }
        }
    }

    var isEmpty: Bool { self.keys.isEmpty }

    /// The key that a token names; of a token that names none, the only one that its algorithm fits. Two keys of one
    /// name are none: who could tell which is meant?
    func key(_ id: String?, for algorithm: VerificationKey.Algorithm) -> VerificationKey? {
        let fitting = self.keys.filter { $0.key.algorithm == algorithm && (id == nil || $0.id == id) }
        return fitting.count == 1 ? fitting[0].key : nil
    }

    private static func key(_ json: JSONValue) -> VerificationKey? {
        guard json["use"]?.text ?? "sig" == "sig", json["d"] == nil else { return nil }
        if let uses = json["key_ops"]?.elements, !uses.contains("verify") { return nil }
        guard let key = self.material(json) else { return nil }
        guard json["alg"]?.text ?? key.algorithm.rawValue == key.algorithm.rawValue else { return nil }
        return key
    }

    private static func material(_ json: JSONValue) -> VerificationKey? {
        func bytes(_ name: String) -> [UInt8]? {
            json[name]?.text.flatMap { Base64URL.decode($0.utf8) }
        }
        switch (json["kty"]?.text, json["crv"]?.text) {
        case ("RSA", nil):
            guard let modulus = bytes("n"), let exponent = bytes("e") else { return nil }
            return .rsa(modulus: modulus, exponent: exponent)
        case ("EC", "P-256"):
            guard let x = bytes("x"), let y = bytes("y") else { return nil }
            return .p256(x: x, y: y)
        case ("OKP", "Ed25519"):
            return bytes("x").flatMap(VerificationKey.ed25519)
        default:
            return nil
        }
    }
}

/// An identity provider's keys, read again now and then: keys come and go while the gateway runs.
actor KeyCache {
    /// So old a set is read again before it is used.
    private static let lifetime: Duration = .seconds(300)
    /// So often at most, whatever names of keys tokens bring, and while the provider is away.
    private static let pause: Duration = .seconds(60)
    /// So long a set that cannot be read again is good.
    private static let longestLife: Duration = .seconds(86_400)

    private let fetch: @Sendable () async throws -> [UInt8]
    private let now: @Sendable () -> ContinuousClock.Instant
    private var known: (keys: KeySet, readAt: ContinuousClock.Instant)?
    private var triedAt: ContinuousClock.Instant?
    private var reading: Task<Void, Never>?
    private(set) var lastError: (any Error)?

    init(
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now },
        fetch: @escaping @Sendable () async throws -> [UInt8]
    ) {
        self.fetch = fetch
        self.now = now
    }

    /// The key that a token names; nil when the provider has no such key. Throws when its keys cannot be had.
    func key(_ id: String?, for algorithm: VerificationKey.Algorithm) async throws -> VerificationKey? {
        if let known, self.now() - known.readAt < Self.lifetime, let key = known.keys.key(id, for: algorithm) {
            return key
        }
        await self.refresh()
        guard let known, self.now() - known.readAt < Self.longestLife else {
            throw self.lastError ?? JSONFailure("the keys were not read")
        }
        return known.keys.key(id, for: algorithm)
    }

    /// Reads the set again unless that was tried a moment ago; one read serves all who wait.
    private func refresh() async {
        if let reading { return await reading.value }
        if let triedAt, self.now() - triedAt < Self.pause { return }
        self.triedAt = self.now()
        // Awaited right below, and by everyone who asks meanwhile.
        let reading = Task { await self.read() }
        self.reading = reading
        await reading.value
        self.reading = nil
    }

    private func read() async {
        do {
            self.known = (try KeySet(try await self.fetch()), self.now())
            self.lastError = nil
        } catch {
            self.lastError = error
        }
    }
}
