/// Base64 with the standard alphabet and padding (RFC 4648, section 4).
package enum Base64 {
    private static let coding = SixBitCoding(last: "+/")
    private static let padding = UInt8(ascii: "=")

    /// `bytes` as text, padded.
    package static func encode(_ bytes: [UInt8]) -> String {
        self.coding.encode(bytes, padding: self.padding)
    }

    /// How many bytes `text` stands for, give or take the padding, without decoding it.
    package static func decodedSize(_ text: String) -> Int {
        text.utf8.count / 4 * 3
    }

    /// The bytes that `text` stands for; nil unless it is whole, padded, canonical base64.
    package static func decode(_ text: String) -> [UInt8]? {
        var input = Array(text.utf8)
        guard input.count % 4 == 0 else { return nil }
        var missing = 0
        while missing < 2, input.last == Self.padding {
            input.removeLast()
            missing += 1
        }
        return self.coding.decode(input)
    }
}

/// The base64 alphabet that is safe in URLs, without padding (RFC 4648 section 5, RFC 7515 section 2).
package enum Base64URL {
    private static let coding = SixBitCoding(last: "-_")

    /// The bytes that `text` stands for; nil for a byte outside the alphabet, padding included, for a length that no
    /// bytes have, and for bits left over that are not zero.
    package static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        self.coding.decode(text)
    }

    /// `bytes` as text.
    package static func encode(_ bytes: [UInt8]) -> String {
        self.coding.encode(bytes, padding: nil)
    }
}

/// Six bits a character; the alphabets differ in the `last` two.
private struct SixBitCoding: Sendable {
    private let alphabet: [UInt8]
    /// The value of each byte; 255 for what is not in the alphabet.
    private let values: [UInt8]

    init(last: String) {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\(last)".utf8)
        var values = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        (self.alphabet, self.values) = (alphabet, values)
    }

    func encode(_ bytes: [UInt8], padding: UInt8?) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group = UInt32(bytes[index]) << 16
            if count > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[index + 2]) }
            output.append(self.alphabet[Int(group >> 18 & 63)])
            output.append(self.alphabet[Int(group >> 12 & 63)])
            if let third = count > 1 ? self.alphabet[Int(group >> 6 & 63)] : padding { output.append(third) }
            if let fourth = count > 2 ? self.alphabet[Int(group & 63)] : padding { output.append(fourth) }
            index += count
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Bits that are left over must be zero, or two texts would stand for the same bytes.
    func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        output.reserveCapacity(text.underestimatedCount / 4 * 3 + 2)
        var (group, bits): (UInt32, UInt32) = (0, 0)
        for byte in text {
            let value = self.values[Int(byte)]
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
}
