internal import CCrypto

/// Bytes that nobody can guess, from libcrypto's generator.
package enum RandomBytes {
    /// `count` fresh bytes. A generator without entropy ends the process: a weak secret would be worse.
    package static func make(_ count: Int) -> [UInt8] {
        precondition(count >= 0 && count <= Int32.max, "a count of random bytes out of range")
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        let status = RAND_bytes(&bytes, Int32(count))
        precondition(status == 1, "libcrypto has no random bytes")
        return bytes
    }
}
