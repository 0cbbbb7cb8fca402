/// The text form of one-dimensional arrays (PostgreSQL documentation, section 8.15.6).
enum ArrayLiteral {
    /// Quotes every element, so that no content is taken for syntax and the text `NULL` stays a text.
    static func encode(_ elements: [String?]) -> String {
        var text = "{"
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            guard let element else {
                text += "NULL"
                continue
            }
            text += "\""
            for scalar in element.unicodeScalars {
                if scalar == "\"" || scalar == "\\" { text.unicodeScalars.append("\\") }
                text.unicodeScalars.append(scalar)
            }
            text += "\""
        }
        return text + "}"
    }

    /// Elements that need no quotes: numbers and booleans.
    static func encode(plain elements: [String]) -> String {
        "{" + elements.joined(separator: ",") + "}"
    }

    /// Splits an array's text into its elements; nil when it is not a one-dimensional array.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> [String?]? {
        var scanner = Scanner(bytes: bytes)
        return scanner.elements()
    }

    private struct Scanner {
        let bytes: UnsafeRawBufferPointer
        var position = 0

        private var next: UInt8? {
            self.position < self.bytes.count ? self.bytes[self.position] : nil
        }

        private mutating func skip(_ byte: Character) -> Bool {
            guard let next = self.next, next == byte.asciiValue else { return false }
            self.position += 1
            return true
        }

        mutating func elements() -> [String?]? {
            guard self.skip("{") else { return nil }
            if self.skip("}") { return self.position == self.bytes.count ? [] : nil }
            var elements: [String?] = []
            repeat {
                guard let element = self.element() else { return nil }
                elements.append(element)
            } while self.skip(",")
            guard self.skip("}"), self.position == self.bytes.count else { return nil }
            return elements
        }

        /// Nil for malformed text, `.some(nil)` for NULL.
        private mutating func element() -> String?? {
            self.skip("\"") ? self.quoted().map { .some($0) } : self.unquoted()
        }

        private mutating func quoted() -> String? {
            var content: [UInt8] = []
            while let byte = self.next {
                self.position += 1
                if byte == UInt8(ascii: "\"") { return String(decoding: content, as: UTF8.self) }
                if byte == UInt8(ascii: "\\") {
                    guard let escaped = self.next else { return nil }
                    content.append(escaped)
                    self.position += 1
                } else {
                    content.append(byte)
                }
            }
            return nil
        }

        private mutating func unquoted() -> String?? {
            let start = self.position
            while let byte = self.next, byte != UInt8(ascii: ","), byte != UInt8(ascii: "}") {
                guard byte != UInt8(ascii: "{") else { return nil }
                self.position += 1
            }
            guard self.position > start else { return nil }
            let text = String(
                decoding: UnsafeRawBufferPointer(rebasing: self.bytes[start..<self.position]),
                as: UTF8.self
            )
            return .some(text == "NULL" ? nil : text)
        }
    }
}

/// Bytes as hexadecimal digits and back.
enum Hex {
    static func encode(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { buffer in
            for (index, byte) in bytes.enumerated() {
                buffer[index * 2] = self.digit(byte >> 4)
                buffer[index * 2 + 1] = self.digit(byte & 15)
            }
            return bytes.count * 2
        }
    }

    /// Nil when the digits are odd in number or not hexadecimal.
    static func decode(_ digits: UnsafeRawBufferPointer) -> [UInt8]? {
        guard digits.count.isMultiple(of: 2) else { return nil }
        var isValid = true
        let bytes = [UInt8](unsafeUninitializedCapacity: digits.count / 2) { buffer, count in
            count = digits.count / 2
            for index in 0..<count {
                let (high, low) = (self.value(digits[index * 2]), self.value(digits[index * 2 + 1]))
                if (high | low) > 15 { isValid = false }
                buffer[index] = high << 4 | low & 15
            }
        }
        return isValid ? bytes : nil
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    private static func value(_ digit: UInt8) -> UInt8 {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: 255
        }
    }
}
