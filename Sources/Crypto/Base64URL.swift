/// The base64 alphabet that is safe in URLs, without padding (RFC 4648 section 5, RFC 7515 section 2).
package enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// The value of each byte; 255 for what is not in the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    /// The bytes that `text` stands for; nil for a byte outside the alphabet, padding included, for a length that no
    /// bytes have, and for bits left over that are not zero: two texts never stand for the same bytes.
    package static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        var (group, bits): (UInt32, UInt32) = (0, 0)
        for byte in text {
            let value = Self.values[Int(byte)]
            guard value != 255 else { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                output.append(UInt8(truncatingIfNeeded: group >> bits))
                group &= (1 << bits) - 1
            }
        }
        return bits < 6 && group == 0 ? output : nil
    }

    /// `bytes` as text.
    package static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        var (group, bits): (UInt32, UInt32) = (0, 0)
        for byte in bytes {
            group = group << 8 | UInt32(byte)
            bits += 8
            while bits >= 6 {
                bits -= 6
                output.append(Self.alphabet[Int(group >> bits & 63)])
            }
            group &= (1 << bits) - 1
        }
        if bits > 0 { output.append(Self.alphabet[Int(group << (6 - bits) & 63)]) }
        return String(decoding: output, as: UTF8.self)
    }
}
