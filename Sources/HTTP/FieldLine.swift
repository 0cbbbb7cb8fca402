/// One header or trailer line (RFC 9112 section 5).
struct FieldLine: Sendable {
    let name: String
    let value: String

    /// Parses the line in `range`, which holds no CR and no LF. Refuses folded lines, a space before the colon and any
    /// byte that a name or value cannot hold.
    static func parse(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(HTTPError) -> FieldLine {
        var colon = range.lowerBound
        while colon < range.upperBound, Bytes.isToken(bytes[colon]) { colon += 1 }
        guard colon > range.lowerBound else { throw .badRequest("a header line without a name, or a folded one") }
        guard colon < range.upperBound, bytes[colon] == Bytes.colon else {
            throw .badRequest("a header name with an invalid byte or without a colon")
        }
        var (start, end) = (colon + 1, range.upperBound)
        while start < end, self.isBlank(bytes[start]) { start += 1 }
        while end > start, self.isBlank(bytes[end - 1]) { end -= 1 }
        for index in start..<end where !Bytes.isFieldContent(bytes[index]) {
            throw .badRequest("a header value with a control byte")
        }
        return FieldLine(
            name: Bytes.text(bytes.extracting(range.lowerBound..<colon)),
            value: Bytes.text(bytes.extracting(start..<end))
        )
    }

    /// The members of a comma-separated list, trimmed of blanks; empty members stay, for the strict to refuse.
    static func list(_ value: String) -> [String] {
        value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map { part in
            var part = part
            while let first = part.first, self.isBlank(first) { part.removeFirst() }
            while let last = part.last, self.isBlank(last) { part.removeLast() }
            return String(part) ?? ""
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == Bytes.space || byte == Bytes.tab
    }
}
