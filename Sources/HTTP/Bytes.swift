/// Byte classes of RFC 9110 section 5.6 and RFC 3986, as the parser needs them.
enum Bytes {
    static let carriageReturn: UInt8 = 0x0D
    static let lineFeed: UInt8 = 0x0A
    static let space: UInt8 = 0x20
    static let tab: UInt8 = 0x09
    static let colon: UInt8 = 0x3A

    /// `tchar` of RFC 9110 section 5.6.2.
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x30...0x39, 0x41...0x5A, 0x5E...0x7A, 0x7C, 0x7E: true
        default: false
        }
    }

    /// A byte of a field value: visible ASCII, obs-text, space or tab (RFC 9110 section 5.5).
    static func isFieldContent(_ byte: UInt8) -> Bool {
        (byte >= 0x20 && byte != 0x7F) || byte == self.tab
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        byte >= 0x30 && byte <= 0x39
    }

    static func isLetter(_ byte: UInt8) -> Bool {
        (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7A
    }

    /// The value of a hexadecimal digit, or nil.
    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    /// `pchar` or "/" of RFC 3986 section 3.3.
    static func isPath(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21, 0x24...0x2E, 0x2F, 0x30...0x39, 0x3A, 0x3B, 0x3D, 0x40, 0x41...0x5A, 0x5F, 0x61...0x7A, 0x7E: true
        default: false
        }
    }

    /// A byte of a query. Wider than RFC 3986, because clients send brackets, braces and bars as they are; nothing here
    /// can end a request line.
    static func isQuery(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x22, 0x23, 0x3C, 0x3E: false
        case 0x21...0x7E: true
        default: false
        }
    }

    /// A byte of `uri-host [ ":" port ]`, without the comma, which would make a list of two hosts look like one.
    static func isHost(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x2C: false
        case 0x21, 0x24...0x2E, 0x30...0x3B, 0x3D, 0x41...0x5B, 0x5D, 0x5F, 0x61...0x7A, 0x7E: true
        default: false
        }
    }

    static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }

    /// Whether two ASCII strings are equal but for the case of letters.
    static func equalIgnoringCase(_ left: String, _ right: String) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        return zip(left.utf8, right.utf8).allSatisfy { $0 == $1 || self.lowercased($0) == self.lowercased($1) }
    }

    /// The bytes as text: UTF-8 where they are, else one scalar a byte, so that nothing is lost silently.
    static func text(_ bytes: Span<UInt8>) -> String {
        do {
            return String(copying: try UTF8Span(validating: bytes))
        } catch {
            var text = ""
            for index in bytes.indices {
                text.unicodeScalars.append(Unicode.Scalar(bytes[index]))
            }
            return text
        }
    }

    /// `value` in lower-case hexadecimal without leading zeros.
    static func appendHex(_ value: Int, to output: inout [UInt8]) {
        let digits: StaticString = "0123456789abcdef"
        var shift = 60
        while shift > 0, (value >> shift) & 15 == 0 { shift -= 4 }
        while shift >= 0 {
            output.append(digits.utf8Start[(value >> shift) & 15])
            shift -= 4
        }
    }
}
