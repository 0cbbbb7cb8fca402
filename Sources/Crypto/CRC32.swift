internal import CCrypto

/// The CRC-32 of gzip and PNG (RFC 1952, section 8), by zlib. Finds slips of the finger, never forgery.
package enum CRC32 {
    /// The checksum of `bytes`.
    package static func of(_ bytes: [UInt8]) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32_z(0, bytes, bytes.count))
    }
}
