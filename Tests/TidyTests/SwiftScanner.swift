/// Walks through Swift text byte by byte; see `SwiftSource`.
struct SwiftScanner {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private(set) var code: [UInt8] = []
    private(set) var literals: [SwiftSource.Literal] = []

    init(_ text: String) {
        self.bytes = Array(text.utf8)
        self.code.reserveCapacity(self.bytes.count)
    }

    /// Scans to the end, or to the parenthesis that closes an interpolation.
    mutating func scan(insideInterpolation: Bool = false) {
        var depth = 0
        while self.position < self.bytes.count {
            let byte = self.bytes[self.position]
            if self.starts(with: "//") {
                self.skipLineComment()
            } else if self.starts(with: "/*") {
                self.skipBlockComment()
            } else if let hashes = self.hashesBeforeQuote() {
                self.skipLiteral(hashes: hashes)
            } else {
                if byte == UInt8(ascii: "(") { depth += 1 }
                if byte == UInt8(ascii: ")") { depth -= 1 }
                self.advance(masked: false)
                if insideInterpolation && depth < 0 { return }
            }
        }
    }

    private func starts(with text: String) -> Bool {
        self.bytes[self.position...].starts(with: text.utf8)
    }

    private mutating func advance(masked: Bool) {
        let byte = self.bytes[self.position]
        if byte == UInt8(ascii: "\n") { self.line += 1 }
        self.code.append(masked && byte != UInt8(ascii: "\n") ? UInt8(ascii: " ") : byte)
        self.position += 1
    }

    private mutating func advance(_ count: Int, masked: Bool) {
        for _ in 0..<count where self.position < self.bytes.count {
            self.advance(masked: masked)
        }
    }

    private mutating func skipLineComment() {
        while self.position < self.bytes.count && self.bytes[self.position] != UInt8(ascii: "\n") {
            self.advance(masked: true)
        }
    }

    private mutating func skipBlockComment() {
        var depth = 0
        while self.position < self.bytes.count {
            if self.starts(with: "/*") {
                depth += 1
                self.advance(2, masked: true)
            } else if self.starts(with: "*/") {
                depth -= 1
                self.advance(2, masked: true)
                if depth == 0 { return }
            } else {
                self.advance(masked: true)
            }
        }
    }

    /// How many `#` stand before a quote here; nil when no literal begins here.
    private func hashesBeforeQuote() -> Int? {
        let hashes = self.bytes[self.position...].prefix { $0 == UInt8(ascii: "#") }.count
        let quote = self.position + hashes
        return quote < self.bytes.count && self.bytes[quote] == UInt8(ascii: "\"") ? hashes : nil
    }

    private mutating func skipLiteral(hashes: Int) {
        let firstLine = self.line
        self.advance(hashes, masked: false)
        let quotes = self.starts(with: "\"\"\"") ? 3 : 1
        self.advance(quotes, masked: false)
        let closing = String(repeating: "\"", count: quotes) + String(repeating: "#", count: hashes)
        let escape = "\\" + String(repeating: "#", count: hashes)
        var text: [UInt8] = []
        while self.position < self.bytes.count && !self.starts(with: closing) {
            if self.starts(with: escape) {
                self.advance(escape.utf8.count, masked: true)
                let isInterpolation = self.starts(with: "(")
                self.advance(1, masked: !isInterpolation)
                if isInterpolation { self.scan(insideInterpolation: true) }
            } else {
                text.append(self.bytes[self.position])
                self.advance(masked: true)
            }
        }
        self.advance(closing.utf8.count, masked: false)
        self.literals.append(.init(line: firstLine, text: String(decoding: text, as: UTF8.self)))
    }
}
