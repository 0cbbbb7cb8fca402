internal import CCrypto

/// Somebody's public key, good for one algorithm (RFC 7518 section 3.1, RFC 8037). All of the arithmetic is
/// libcrypto's.
///
/// `@unchecked Sendable`: the key is never changed after it was made, and libcrypto's keys may be read by several
/// threads at once.
package final class VerificationKey: @unchecked Sendable {
    /// How a signature is made. There are no others here, symmetric ones and `none` least of all.
    package enum Algorithm: String, Sendable, Hashable, CaseIterable {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        case rs256 = "RS256"
        /// ECDSA on P-256 with SHA-256.
        case es256 = "ES256"
        /// Ed25519.
        case edDSA = "EdDSA"
    }

    /// What the key is good for.
    package let algorithm: Algorithm
    private let key: OpaquePointer

    private init?(_ algorithm: Algorithm, _ key: OpaquePointer?) {
        guard let key else { return nil }
        self.algorithm = algorithm
        self.key = key
    }

    deinit {
        EVP_PKEY_free(self.key)
    }

    /// An RSA key of 2048 to 8192 bits; nil for anything else.
    package static func rsa(modulus: [UInt8], exponent: [UInt8]) -> VerificationKey? {
        guard (256...1_024).contains(modulus.count), modulus[0] >= 0x80, (1...8).contains(exponent.count),
            let last = exponent.last, last & 1 == 1, exponent != [1]
        else { return nil }
        let key = ccrypto_rsa(modulus, Int32(modulus.count), exponent, Int32(exponent.count))
        return VerificationKey(.rs256, Self.checked(key))
    }

    /// A point of P-256; nil when it is not on the curve.
    package static func p256(x: [UInt8], y: [UInt8]) -> VerificationKey? {
        guard x.count == 32, y.count == 32 else { return nil }
        let point = [4] + x + y
        return VerificationKey(.es256, Self.checked(ccrypto_p256(point, point.count)))
    }

    /// An Ed25519 key.
    package static func ed25519(_ bytes: [UInt8]) -> VerificationKey? {
        guard bytes.count == 32 else { return nil }
        return VerificationKey(.edDSA, EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count))
    }

    /// `key` if libcrypto finds nothing wrong with it.
    private static func checked(_ key: OpaquePointer?) -> OpaquePointer? {
        guard let key else { return nil }
        let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_public_check(context) == 1 else {
            EVP_PKEY_free(key)
            return nil
        }
        return key
    }

    /// Whether `signature` is this key's of `message`, in the form that RFC 7518 gives it.
    package func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        switch self.algorithm {
        case .rs256: self.check(signature, message, EVP_sha256())
        case .es256: Self.sequence(signature).map { self.check($0, message, EVP_sha256()) } ?? false
        case .edDSA: signature.count == 64 && self.check(signature, message, nil)
        }
    }

    private func check(_ signature: [UInt8], _ message: [UInt8], _ digest: OpaquePointer?) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        // A signature that does not fit leaves an error behind, which nobody here looks at.
        defer { ERR_clear_error() }
        guard EVP_DigestVerifyInit(context, nil, digest, nil, self.key) == 1 else { return false }
        return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    /// The two numbers of an ECDSA signature (RFC 7518 section 3.4: 32 bytes each) as libcrypto takes them.
    private static func sequence(_ signature: [UInt8]) -> [UInt8]? {
        guard signature.count == 64, let pair = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(pair) }
        let r = BN_bin2bn(Array(signature[..<32]), 32, nil)
        let s = BN_bin2bn(Array(signature[32...]), 32, nil)
        guard ECDSA_SIG_set0(pair, r, s) == 1 else {
            BN_free(r)
            BN_free(s)
            return nil
        }
        var output: UnsafeMutablePointer<UInt8>?
        let count = i2d_ECDSA_SIG(pair, &output)
        guard count > 0, let output else { return nil }
        defer { CRYPTO_free(output, nil, 0) }
        return Array(UnsafeBufferPointer(start: output, count: Int(count)))
    }
}
