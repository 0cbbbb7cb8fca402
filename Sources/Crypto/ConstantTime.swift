internal import CCrypto

/// Comparison whose duration tells nothing about the contents.
package enum ConstantTime {
    /// Whether both hold the same bytes. Only the lengths can be learnt from the time that it takes.
    package static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return CRYPTO_memcmp(left, right, left.count) == 0
    }
}
