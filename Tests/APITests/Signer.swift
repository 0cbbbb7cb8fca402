import CCrypto
import Crypto
import Domain

@testable import API

/// An identity provider's private key, and the tokens that it signs.
///
/// `@unchecked Sendable`: the key is never changed after it was made.
final class Signer: @unchecked Sendable {
    let algorithm: VerificationKey.Algorithm
    let id: String
    private let key: OpaquePointer

    init(_ algorithm: VerificationKey.Algorithm, id: String) {
        let kind =
            switch algorithm {
            case .rs256: "RSA"
            case .es256: "EC"
            case .edDSA: "ED25519"
            }
        let context = EVP_PKEY_CTX_new_from_name(nil, kind, nil)
        defer { EVP_PKEY_CTX_free(context) }
        EVP_PKEY_keygen_init(context)
        if algorithm == .es256 { EVP_PKEY_CTX_set_group_name(context, "prime256v1") }
        var key: OpaquePointer?
        EVP_PKEY_generate(context, &key)
        guard let key else { preconditionFailure("libcrypto makes no \(kind) key") }
        self.algorithm = algorithm
        self.id = id
        self.key = key
    }

    deinit {
        EVP_PKEY_free(self.key)
    }

    /// The public half.
    var jwk: JSONValue {
        let common: [String: JSONValue] = ["kid": .string(self.id), "use": "sig"]
        let own: [String: JSONValue] =
            switch self.algorithm {
            case .rs256: ["kty": "RSA", "alg": "RS256", "n": self.number("n"), "e": self.number("e")]
            case .es256: ["kty": "EC", "crv": "P-256", "x": self.number("qx", 32), "y": self.number("qy", 32)]
            case .edDSA: ["kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(self.raw))]
            }
        return .object(common.merging(own) { first, _ in first })
    }

    private func number(_ name: String, _ width: Int32? = nil) -> JSONValue {
        var number: OpaquePointer?
        EVP_PKEY_get_bn_param(self.key, name, &number)
        defer { BN_free(number) }
        let width = width ?? (BN_num_bits(number) + 7) / 8
        var bytes = [UInt8](repeating: 0, count: Int(width))
        BN_bn2binpad(number, &bytes, width)
        return .string(Base64URL.encode(bytes))
    }

    private var raw: [UInt8] {
        var (bytes, count) = ([UInt8](repeating: 0, count: 32), 32)
        EVP_PKEY_get_raw_public_key(self.key, &bytes, &count)
        return bytes
    }

    /// A signature as libcrypto makes it: of ECDSA, the DER form.
    func signature(_ message: [UInt8]) -> [UInt8] {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        EVP_DigestSignInit(context, nil, self.algorithm == .edDSA ? nil : EVP_sha256(), nil, self.key)
        var count = 512
        var bytes = [UInt8](repeating: 0, count: count)
        EVP_DigestSign(context, &bytes, &count, message, message.count)
        return Array(bytes.prefix(count))
    }

    /// The two numbers of an ECDSA signature, 32 bytes each; any other signature as it is.
    func flat(_ signature: [UInt8]) -> [UInt8] {
        guard self.algorithm == .es256 else { return signature }
        return signature.withUnsafeBufferPointer { buffer in
            var start = buffer.baseAddress
            let pair = d2i_ECDSA_SIG(nil, &start, buffer.count)
            defer { ECDSA_SIG_free(pair) }
            var (r, s) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 32))
            BN_bn2binpad(ECDSA_SIG_get0_r(pair), &r, 32)
            BN_bn2binpad(ECDSA_SIG_get0_s(pair), &s, 32)
            return r + s
        }
    }

    /// A token with these claims, whose header says `header` beside what is right.
    func token(_ claims: JSONValue, header: [String: JSONValue] = [:]) -> String {
        self.token(text: String(decoding: JSONWriter.text(claims), as: UTF8.self), header: header)
    }

    /// The same with the claims as text.
    func token(text claims: String, header: [String: JSONValue] = [:]) -> String {
        let right: [String: JSONValue] = ["alg": .string(self.algorithm.rawValue), "kid": .string(self.id)]
        let message = Self.message(right.merging(header) { $1 }, claims)
        return message + "." + Base64URL.encode(self.flat(self.signature(Array(message.utf8))))
    }

    /// What is signed.
    static func message(_ header: [String: JSONValue], _ claims: String) -> String {
        Base64URL.encode(JSONWriter.text(.object(header))) + "." + Base64URL.encode(Array(claims.utf8))
    }

    /// HMAC-SHA-256, for forgers.
    static func hmac(_ message: String, key: [UInt8]) -> [UInt8] {
        let secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, nil, key, key.count)
        defer { EVP_PKEY_free(secret) }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        EVP_DigestSignInit(context, nil, EVP_sha256(), nil, secret)
        var count = 32
        var bytes = [UInt8](repeating: 0, count: count)
        EVP_DigestSign(context, &bytes, &count, Array(message.utf8), message.utf8.count)
        return bytes
    }
}
