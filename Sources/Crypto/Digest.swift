internal import CCrypto

/// SHA-256 (FIPS 180-4) by OpenSSL's libcrypto.
package enum Digest {
    /// The 32-byte digest of `bytes`.
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = StreamingDigest()
        digest.update(bytes)
        return digest.finish()
    }

    /// Two lower-case hexadecimal digits for each byte.
    package static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            unsafeUninitializedCapacity: bytes.count * 2
        ) { buffer in
            for (index, byte) in bytes.enumerated() {
                buffer[2 * index] = digits[Int(byte >> 4)]
                buffer[2 * index + 1] = digits[Int(byte & 15)]
            }
            return bytes.count * 2
        }
    }
}

/// SHA-256 of bytes that arrive in pieces.
///
/// Libcrypto fails here only when it has no memory or no SHA-256, so a failure ends the process instead of burdening
/// every caller with an error that none could answer.
package struct StreamingDigest: ~Copyable {
    private let context: OpaquePointer

    /// An empty digest.
    package init() {
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("libcrypto has no memory for a digest") }
        let status = EVP_DigestInit_ex(context, EVP_sha256(), nil)
        precondition(status == 1, "libcrypto offers no SHA-256")
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(self.context)
    }

    /// Adds `bytes` to what is digested.
    package mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { self.update($0) }
    }

    /// Adds the bytes of `buffer` to what is digested.
    package mutating func update(_ buffer: UnsafeRawBufferPointer) {
        let status = EVP_DigestUpdate(self.context, buffer.baseAddress, buffer.count)
        precondition(status == 1, "libcrypto refused bytes for a digest")
    }

    /// Writes the first bytes of the digest of everything added into `buffer`, at most 32, and begins a new one.
    package mutating func finish(into buffer: UnsafeMutableRawBufferPointer) {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { digest in
            var length: UInt32 = 0
            let status = EVP_DigestFinal_ex(self.context, digest.baseAddress, &length)
            precondition(status == 1 && length == 32, "libcrypto did not finish a digest")
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: digest[..<min(32, buffer.count)]))
        }
        let status = EVP_DigestInit_ex(self.context, nil, nil)
        precondition(status == 1, "libcrypto does not begin a digest again")
    }

    /// The 32-byte digest of everything added.
    package consuming func finish() -> [UInt8] {
        var length: UInt32 = 0
        var digest = [UInt8](repeating: 0, count: 32)
        let status = EVP_DigestFinal_ex(self.context, &digest, &length)
        precondition(status == 1 && length == 32, "libcrypto did not finish a digest")
        return digest
    }
}
