import Domain

/// Writes JSON text into bytes: members in the order in which they are given, those of a `JSONValue` sorted by their
/// bytes, so that equal values are equal texts.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    /// Whether the next element or member of the open array or object needs a comma before it.
    private var needsComma = false

    init(capacity: Int = 256) {
        self.bytes.reserveCapacity(capacity)
    }

    /// The text of one object.
    static func object(capacity: Int = 256, _ body: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter(capacity: capacity)
        writer.object(body)
        return writer.bytes
    }

    /// The text of one value; equal values give equal texts.
    static func text(_ value: JSONValue) -> [UInt8] {
        var writer = JSONWriter()
        writer.value(value)
        return writer.bytes
    }

    // MARK: - Structure

    mutating func object(_ body: (inout JSONWriter) -> Void) {
        self.open(UInt8(ascii: "{"))
        body(&self)
        self.close(UInt8(ascii: "}"))
    }

    mutating func array<Element>(_ elements: [Element], _ body: (inout JSONWriter, Element) -> Void) {
        self.open(UInt8(ascii: "["))
        for element in elements { body(&self, element) }
        self.close(UInt8(ascii: "]"))
    }

    private mutating func open(_ byte: UInt8) {
        self.separate()
        self.bytes.append(byte)
        self.needsComma = false
    }

    private mutating func close(_ byte: UInt8) {
        self.bytes.append(byte)
        self.needsComma = true
    }

    private mutating func separate() {
        if self.needsComma { self.bytes.append(UInt8(ascii: ",")) }
        self.needsComma = true
    }

    private mutating func name(_ name: String) {
        self.separate()
        self.quote(name)
        self.bytes.append(UInt8(ascii: ":"))
        self.needsComma = false
    }

    // MARK: - Members

    mutating func member(_ name: String, _ text: String?) {
        self.name(name)
        if let text { self.string(text) } else { self.raw("null") }
    }

    mutating func member(_ name: String, _ number: some BinaryInteger) {
        self.name(name)
        self.raw(String(number))
    }

    mutating func member(_ name: String, number: Int?) {
        self.name(name)
        self.raw(number.map(String.init) ?? "null")
    }

    mutating func member(_ name: String, flag: Bool) {
        self.name(name)
        self.raw(flag ? "true" : "false")
    }

    /// A member whose value is JSON text already.
    mutating func member(_ name: String, json: String?) {
        self.name(name)
        self.raw(json ?? "null")
    }

    mutating func member(_ name: String, object body: (inout JSONWriter) -> Void) {
        self.name(name)
        self.object(body)
    }

    mutating func member<Element>(
        _ name: String,
        objects elements: [Element],
        _ body: (inout JSONWriter, Element) -> Void
    ) {
        self.name(name)
        self.array(elements) { writer, element in
            writer.object { body(&$0, element) }
        }
    }

    mutating func member<Element>(
        _ name: String,
        array elements: [Element],
        _ body: (inout JSONWriter, Element) -> Void
    ) {
        self.name(name)
        self.array(elements, body)
    }

    /// The members of an object's text, as they are. Text that is no object becomes the member `data`.
    mutating func members(ofObject json: String) {
        let text = json.utf8
        guard let open = text.firstIndex(where: { !Self.isSpace($0) }), text[open] == UInt8(ascii: "{") else {
            if !text.isEmpty { self.member("data", json: json) }
            return
        }
        let rest = text[text.index(after: open)...]
        guard let first = rest.firstIndex(where: { !Self.isSpace($0) }), rest[first] != UInt8(ascii: "}"),
            let close = rest.lastIndex(of: UInt8(ascii: "}"))
        else { return }
        self.separate()
        self.bytes.append(contentsOf: rest[first..<close])
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
    }

    // MARK: - Values

    /// A string as an element.
    mutating func string(_ text: String) {
        self.separate()
        self.quote(text)
    }

    private mutating func raw(_ text: String) {
        self.separate()
        self.bytes.append(contentsOf: text.utf8)
    }

    mutating func value(_ value: JSONValue) {
        switch value {
        case .null: self.raw("null")
        case .bool(let flag): self.raw(flag ? "true" : "false")
        case .integer(let number): self.raw(String(number))
        case .number(let number): self.raw(String(number))
        case .string(let text): self.string(text)
        case .array(let elements): self.array(elements) { $0.value($1) }
        case .object(let members):
            self.object { writer in
                for (name, value) in members.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
                    writer.name(name)
                    writer.value(value)
                }
            }
        }
    }

    private mutating func quote(_ text: String) {
        self.bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                self.bytes.append(UInt8(ascii: "\\"))
                self.bytes.append(byte)
            case 0x0a: self.bytes.append(contentsOf: "\\n".utf8)
            case 0x0d: self.bytes.append(contentsOf: "\\r".utf8)
            case 0x09: self.bytes.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x7f:
                let digits = Array("0123456789abcdef".utf8)
                self.bytes.append(contentsOf: "\\u00".utf8)
                self.bytes.append(digits[Int(byte >> 4)])
                self.bytes.append(digits[Int(byte & 15)])
            default: self.bytes.append(byte)
            }
        }
        self.bytes.append(UInt8(ascii: "\""))
    }
}
