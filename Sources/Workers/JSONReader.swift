import Domain

/// What is wrong with a JSON text, and where.
struct JSONSyntaxError: Error, Hashable, CustomStringConvertible {
    let problem: String
    /// Bytes from the start of the text.
    let offset: Int

    var description: String { "\(self.problem) at byte \(self.offset)" }
}

/// Reads one JSON text (RFC 8259). Written by hand because agents stream a line for every few characters they say,
/// and a decoder that tries one type after the other spends more on each of them than the rest of the gateway.
///
/// A NUL in a string becomes U+FFFD: PostgreSQL can store no NUL, and a worker must not be able to fail a commit.
struct JSONReader {
    private static let maximumDepth = 128

    private let bytes: [UInt8]
    private var index = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The value that `bytes` hold, with nothing but white space around it.
    static func read(_ bytes: [UInt8]) throws(JSONSyntaxError) -> JSONValue {
        var reader = JSONReader(bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.index == bytes.count else { throw reader.error("text after the value") }
        return value
    }

    private func error(_ problem: String) -> JSONSyntaxError {
        JSONSyntaxError(problem: problem, offset: self.index)
    }

    private var next: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipSpace() {
        while let byte = self.next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { self.index += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard self.next == byte else { return false }
        self.index += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        guard depth < Self.maximumDepth else { throw self.error("more than \(Self.maximumDepth) levels") }
        self.skipSpace()
        switch self.next {
        case UInt8(ascii: "{"): return try self.object(depth: depth)
        case UInt8(ascii: "["): return try self.array(depth: depth)
        case UInt8(ascii: "\""): return .string(try self.string())
        case UInt8(ascii: "t"): return try self.word("true", .bool(true))
        case UInt8(ascii: "f"): return try self.word("false", .bool(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        case nil: throw self.error("an early end")
        default: return try self.number()
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        for byte in word.utf8 {
            guard self.take(byte) else { throw self.error("no value") }
        }
        return value
    }

    private mutating func object(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        self.index += 1
        var members: [String: JSONValue] = [:]
        self.skipSpace()
        if self.take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            self.skipSpace()
            guard self.next == UInt8(ascii: "\"") else { throw self.error("no member name") }
            let name = try self.string()
            self.skipSpace()
            guard self.take(UInt8(ascii: ":")) else { throw self.error("no colon") }
            members[name] = try self.value(depth: depth + 1)
            self.skipSpace()
            if self.take(UInt8(ascii: "}")) { return .object(members) }
            guard self.take(UInt8(ascii: ",")) else { throw self.error("neither comma nor end of the object") }
        }
    }

    private mutating func array(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        self.index += 1
        var elements: [JSONValue] = []
        self.skipSpace()
        if self.take(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try self.value(depth: depth + 1))
            self.skipSpace()
            if self.take(UInt8(ascii: "]")) { return .array(elements) }
            guard self.take(UInt8(ascii: ",")) else { throw self.error("neither comma nor end of the array") }
        }
    }

    // MARK: Numbers

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = self.index
        var isWhole = true
        _ = self.take(UInt8(ascii: "-"))
        let startsWithZero = self.next == UInt8(ascii: "0")
        let wholeDigits = self.digits()
        guard wholeDigits > 0 else { throw self.error("no value") }
        guard !startsWithZero || wholeDigits == 1 else { throw self.error("a leading zero") }
        if self.take(UInt8(ascii: ".")) {
            isWhole = false
            guard self.digits() > 0 else { throw self.error("no digit after the point") }
        }
        if self.take(UInt8(ascii: "e")) || self.take(UInt8(ascii: "E")) {
            isWhole = false
            if !self.take(UInt8(ascii: "+")) { _ = self.take(UInt8(ascii: "-")) }
            guard self.digits() > 0 else { throw self.error("no digit in the exponent") }
        }
        let text = String(decoding: self.bytes[start..<self.index], as: UTF8.self)
        if isWhole, let whole = Int64(text) { return .integer(whole) }
        guard let number = Double(text), number.isFinite else { throw self.error("a number out of range") }
        return .number(number)
    }

    private mutating func digits() -> Int {
        let start = self.index
        while let byte = self.next, (0x30...0x39).contains(byte) { self.index += 1 }
        return self.index - start
    }

    // MARK: Strings

    private mutating func string() throws(JSONSyntaxError) -> String {
        self.index += 1
        let start = self.index
        self.skipPlain()
        if self.take(UInt8(ascii: "\"")) {
            return String(decoding: self.bytes[start..<self.index - 1], as: UTF8.self)
        }
        var text = Array(self.bytes[start..<self.index])
        while let byte = self.next {
            switch byte {
            case UInt8(ascii: "\""):
                self.index += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                self.index += 1
                text.append(contentsOf: String(try self.escaped()).utf8)
            case ..<0x20:
                throw self.error("a control character in a string")
            default:
                let from = self.index
                self.skipPlain()
                text.append(contentsOf: self.bytes[from..<self.index])
            }
        }
        throw self.error("a string without an end")
    }

    private mutating func skipPlain() {
        let bytes = self.bytes
        var index = self.index
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
            index += 1
        }
        self.index = index
    }

    private mutating func escaped() throws(JSONSyntaxError) -> Unicode.Scalar {
        guard let byte = self.next else { throw self.error("an early end") }
        self.index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try self.escapedScalar()
        default: throw self.error("an unknown escape")
        }
    }

    /// A `\u` escape, or two that are a surrogate pair; a lone surrogate is no character and becomes U+FFFD.
    private mutating func escapedScalar() throws(JSONSyntaxError) -> Unicode.Scalar {
        let unit = try self.unit()
        if unit == 0 { return "\u{FFFD}" }
        guard (0xD800...0xDBFF).contains(unit) else { return Unicode.Scalar(unit) ?? "\u{FFFD}" }
        let afterFirst = self.index
        if self.take(UInt8(ascii: "\\")), self.take(UInt8(ascii: "u")) {
            let second = try self.unit()
            if (0xDC00...0xDFFF).contains(second) {
                return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
            }
        }
        self.index = afterFirst
        return "\u{FFFD}"
    }

    private mutating func unit() throws(JSONSyntaxError) -> UInt32 {
        guard self.index + 4 <= self.bytes.count else { throw self.error("an early end") }
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(self.bytes[self.index])).hexDigitValue else {
                throw self.error("no hexadecimal digit")
            }
            unit = unit << 4 | UInt32(digit)
            self.index += 1
        }
        return unit
    }
}
