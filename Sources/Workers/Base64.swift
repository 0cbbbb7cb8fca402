/// The standard base64 alphabet with padding (RFC 4648, section 4).
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// The value of each byte; 255 for what is not in the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    /// `bytes` as text, padded.
    static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group = UInt32(bytes[index]) << 16
            if count > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[index + 2]) }
            output.append(Self.alphabet[Int(group >> 18 & 63)])
            output.append(Self.alphabet[Int(group >> 12 & 63)])
            output.append(count > 1 ? Self.alphabet[Int(group >> 6 & 63)] : Self.padding)
            output.append(count > 2 ? Self.alphabet[Int(group & 63)] : Self.padding)
            index += count
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// How many bytes `text` stands for, give or take the padding, without decoding it.
    static func decodedSize(_ text: String) -> Int {
        text.utf8.count / 4 * 3
    }

    /// The bytes that `text` stands for; nil unless it is whole, padded, canonical base64.
    static func decode(_ text: String) -> [UInt8]? {
        var input = Array(text.utf8)
        guard input.count % 4 == 0 else { return nil }
        var missing = 0
        while missing < 2, input.last == Self.padding {
            input.removeLast()
            missing += 1
        }
        var output: [UInt8] = []
        output.reserveCapacity(input.count / 4 * 3 + 2)
        var group: UInt32 = 0
        var bits: UInt32 = 0
        for byte in input {
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
        // Bits that are left over must be zero, or two texts would stand for the same bytes.
        return group == 0 ? output : nil
    }
}
