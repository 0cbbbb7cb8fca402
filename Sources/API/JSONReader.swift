import Domain

/// Why a body is no acceptable JSON.
struct JSONFailure: Error, Hashable, Sendable {
    /// Whether the text is no JSON at all; else it is JSON that the gateway does not take.
    let isMalformed: Bool
    let problem: String
    /// Where in the value it is, outermost first: `.member` or `[index]`.
    private(set) var path = ""

    init(_ problem: String, isMalformed: Bool = true) {
        self.problem = problem
        self.isMalformed = isMalformed
    }

    func inside(_ step: String) -> JSONFailure {
        var failure = self
        failure.path = step + self.path
        return failure
    }
}

/// A strict reader of JSON (RFC 8259).
///
/// Written by hand because of what Foundation's decoder lets pass or cannot say: a member that occurs twice (two readers
/// would see two requests), U+0000 (PostgreSQL cannot hold it), depth without a bound of ours, and where the problem is.
/// Half surrogates and numbers that no `Double` holds are refused for the same reason: they would be stored as
/// something else than what was sent. It also takes a tenth of the time: 1.5 µs for a usual submission, 18 µs there.
struct JSONReader {
    /// The deepest nesting of arrays and objects.
    static let deepest = 64

    private let bytes: [UInt8]
    private var at = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The one value that `bytes` are the text of.
    static func read(_ bytes: [UInt8]) throws(JSONFailure) -> JSONValue {
        var reader = JSONReader(bytes)
        reader.skipSpace()
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.at == bytes.count else { throw reader.failure("text after the value") }
        return value
    }

    private func failure(_ problem: String) -> JSONFailure {
        JSONFailure("\(problem) at byte \(self.at)")
    }

    private var next: UInt8? { self.at < self.bytes.count ? self.bytes[self.at] : nil }

    private mutating func skipSpace() {
        while let byte = self.next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { self.at += 1 }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard self.next == byte else { return false }
        self.at += 1
        return true
    }

    // MARK: - Values

    private mutating func value(depth: Int) throws(JSONFailure) -> JSONValue {
        guard let byte = self.next else { throw self.failure("the text ends where a value should be") }
        switch byte {
        case UInt8(ascii: "{"): return try self.object(depth: depth + 1)
        case UInt8(ascii: "["): return try self.array(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try self.string())
        case UInt8(ascii: "t"): return try self.literal("true", .bool(true))
        case UInt8(ascii: "f"): return try self.literal("false", .bool(false))
        case UInt8(ascii: "n"): return try self.literal("null", .null)
        default: return try self.number()
        }
    }

    private mutating func literal(_ text: StaticString, _ value: JSONValue) throws(JSONFailure) -> JSONValue {
        for offset in 0..<text.utf8CodeUnitCount where !self.skip(text.utf8Start[offset]) {
            throw self.failure("no JSON value")
        }
        return value
    }

    private func enter(_ depth: Int) throws(JSONFailure) {
        guard depth <= Self.deepest else {
            throw JSONFailure("is nested deeper than \(Self.deepest) levels", isMalformed: false)
        }
    }

    private mutating func array(depth: Int) throws(JSONFailure) -> JSONValue {
        try self.enter(depth)
        self.at += 1
        var elements: [JSONValue] = []
        self.skipSpace()
        if self.skip(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            self.skipSpace()
            do throws(JSONFailure) {
                elements.append(try self.value(depth: depth))
            } catch {
                throw error.inside("[\(elements.count)]")
            }
            self.skipSpace()
            if self.skip(UInt8(ascii: "]")) { return .array(elements) }
            guard self.skip(UInt8(ascii: ",")) else { throw self.failure("an array without a comma or an end") }
        }
    }

    private mutating func object(depth: Int) throws(JSONFailure) -> JSONValue {
        try self.enter(depth)
        self.at += 1
        var members: [String: JSONValue] = [:]
        self.skipSpace()
        if self.skip(UInt8(ascii: "}")) { return .object(members) }
        while true {
            self.skipSpace()
            guard self.next == UInt8(ascii: "\"") else { throw self.failure("an object without a member's name") }
            let name = try self.string()
            self.skipSpace()
            guard self.skip(UInt8(ascii: ":")) else { throw self.failure("a member without a colon") }
            self.skipSpace()
            do throws(JSONFailure) {
                let isNew = members.updateValue(try self.value(depth: depth), forKey: name) == nil
                guard isNew else { throw JSONFailure("occurs twice", isMalformed: false) }
            } catch {
                throw error.inside(".\(name)")
            }
            self.skipSpace()
            if self.skip(UInt8(ascii: "}")) { return .object(members) }
            guard self.skip(UInt8(ascii: ",")) else { throw self.failure("an object without a comma or an end") }
        }
    }

    // MARK: - Numbers

    private mutating func digits() throws(JSONFailure) {
        let start = self.at
        while let byte = self.next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { self.at += 1 }
        guard self.at > start else { throw self.failure("no JSON value") }
    }

    private mutating func number() throws(JSONFailure) -> JSONValue {
        let start = self.at
        _ = self.skip(UInt8(ascii: "-"))
        if !self.skip(UInt8(ascii: "0")) { try self.digits() }
        var isWhole = true
        if self.skip(UInt8(ascii: ".")) {
            isWhole = false
            try self.digits()
        }
        if self.skip(UInt8(ascii: "e")) || self.skip(UInt8(ascii: "E")) {
            isWhole = false
            if !self.skip(UInt8(ascii: "+")) { _ = self.skip(UInt8(ascii: "-")) }
            try self.digits()
        }
        let text = String(decoding: self.bytes[start..<self.at], as: UTF8.self)
        if isWhole, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONFailure("is a number that cannot be held", isMalformed: false)
        }
        return .number(value)
    }

    // MARK: - Strings

    private mutating func string() throws(JSONFailure) -> String {
        self.at += 1
        let start = self.at
        // Most strings have no escape and are taken as they are.
        while let byte = self.next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
            self.at += 1
        }
        var text = Array(self.bytes[start..<self.at])
        while true {
            guard let byte = self.next else { throw self.failure("a string without an end") }
            self.at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw self.failure("a string that is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                try self.escape(into: &text)
            case 0..<0x20:
                throw self.failure("a control character in a string")
            default:
                text.append(byte)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONFailure) {
        guard let byte = self.next else { throw self.failure("a string without an end") }
        self.at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try self.scalar()).utf8)
        default: throw self.failure("an unknown escape")
        }
    }

    private mutating func scalar() throws(JSONFailure) -> Unicode.Scalar {
        let first = try self.hex()
        var code = first
        if (0xd800...0xdbff).contains(first) {
            guard self.skip(UInt8(ascii: "\\")), self.skip(UInt8(ascii: "u")) else {
                throw self.failure("half a surrogate pair")
            }
            let second = try self.hex()
            guard (0xdc00...0xdfff).contains(second) else { throw self.failure("half a surrogate pair") }
            code = 0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw self.failure("half a surrogate pair") }
        guard code != 0 else {
            throw JSONFailure("holds U+0000, which cannot be stored", isMalformed: false)
        }
        return scalar
    }

    private mutating func hex() throws(JSONFailure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = self.next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw self.failure("an escape without four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            self.at += 1
        }
        return code
    }
}
