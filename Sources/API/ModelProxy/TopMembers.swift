import Domain

/// The members of a JSON object as the bytes of their values, without a look into those: calls and answers of models are
/// long, and only a few members of theirs are anybody's business here.
///
/// What would let two readers see two objects is refused: a member that occurs twice, text after the end, and outside of
/// strings any byte that JSON has no use for.
struct TopMembers {
    private let bytes: ArraySlice<UInt8>
    private var at: Int
    private var values: [String: ArraySlice<UInt8>] = [:]

    /// Throws for what is no object.
    init(_ bytes: ArraySlice<UInt8>) throws(JSONFailure) {
        self.bytes = bytes
        self.at = bytes.startIndex
        self.skipSpace()
        guard self.skip(UInt8(ascii: "{")) else { throw JSONFailure("must be a JSON object", isMalformed: false) }
        self.skipSpace()
        if !self.skip(UInt8(ascii: "}")) { try self.readMembers() }
        self.skipSpace()
        guard self.at == bytes.endIndex else { throw self.failure("text after the object") }
    }

    /// The members of the object that a member holds; nil when it holds none.
    func object(_ name: String) -> TopMembers? {
        self.values[name].flatMap { try? TopMembers($0) }
    }

    /// A member's value; nil when there is none, or none that can be held.
    subscript(name: String) -> JSONValue? {
        self.values[name].flatMap { try? JSONReader.read(Array($0)) }
    }

    /// Whether there is such a member.
    func has(_ name: String) -> Bool { self.values[name] != nil }

    private func failure(_ problem: String) -> JSONFailure {
        JSONFailure("\(problem) at byte \(self.at - self.bytes.startIndex)")
    }

    private mutating func readMembers() throws(JSONFailure) {
        while true {
            self.skipSpace()
            let start = self.at
            guard self.at < self.bytes.endIndex, self.bytes[self.at] == UInt8(ascii: "\"") else {
                throw self.failure("an object without a member's name")
            }
            try self.skipString()
            // Read as a string: two spellings may be one name.
            guard let name = try JSONReader.read(Array(self.bytes[start..<self.at])).text else {
                throw self.failure("a member without a name")
            }
            self.skipSpace()
            guard self.skip(UInt8(ascii: ":")) else { throw self.failure("a member without a colon") }
            self.skipSpace()
            let value = self.at
            try self.skipValue()
            guard self.values.updateValue(self.bytes[value..<self.at], forKey: name) == nil else {
                throw JSONFailure("occurs twice", isMalformed: false).inside(".\(name)")
            }
            self.skipSpace()
            if self.skip(UInt8(ascii: "}")) { return }
            guard self.skip(UInt8(ascii: ",")) else { throw self.failure("an object without a comma or an end") }
        }
    }

    private mutating func skipSpace() {
        while self.at < self.bytes.endIndex, Self.isSpace(self.bytes[self.at]) { self.at += 1 }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard self.at < self.bytes.endIndex, self.bytes[self.at] == byte else { return false }
        self.at += 1
        return true
    }

    /// Skips one value: a string, what is between two brackets, or a word.
    private mutating func skipValue() throws(JSONFailure) {
        var open: [UInt8] = []
        let start = self.at
        while self.at < self.bytes.endIndex {
            let byte = self.bytes[self.at]
            switch byte {
            case UInt8(ascii: "\""): try self.skipString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                // Its closing counterpart is two code points further on in both cases.
                open.append(byte + 2)
                self.at += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard open.popLast() == byte else { throw self.failure("brackets that do not match") }
                self.at += 1
            case _ where open.isEmpty:
                while self.at < self.bytes.endIndex, Self.isWord(self.bytes[self.at]) { self.at += 1 }
                guard self.at > start else { throw self.failure("a member without a value") }
            case _
            where Self.isWord(byte) || Self.isSpace(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: ":"):
                self.at += 1
            default: throw self.failure("no JSON value")
            }
            if open.isEmpty { return }
        }
        throw self.failure("an object without an end")
    }

    private mutating func skipString() throws(JSONFailure) {
        self.at += 1
        while self.at < self.bytes.endIndex {
            switch self.bytes[self.at] {
            case UInt8(ascii: "\""):
                self.at += 1
                return
            case UInt8(ascii: "\\"): self.at += 2
            default: self.at += 1
            }
        }
        self.at = min(self.at, self.bytes.endIndex)
        throw self.failure("a string without an end")
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
    }

    /// What numbers, true, false and null are made of.
    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "E"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
