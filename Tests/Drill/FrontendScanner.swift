/// Reads what a client says to PostgreSQL (protocol 3.0, without TLS) far enough to know where a request ends and whether
/// it may write.
struct FrontendScanner: Sendable {
    private var pending: [UInt8] = []
    private var hasStarted = false
    /// Prepared statements by name, and whether each may write.
    private var statements: [String: Bool] = [:]
    private var mayWrite = false

    /// For each request that ended within `bytes`, whether it may have written.
    mutating func feed(_ bytes: some Sequence<UInt8>) -> [Bool] {
        self.pending += bytes
        var ended: [Bool] = []
        var at = 0
        while true {
            let head = self.hasStarted ? 5 : 4
            guard self.pending.count - at >= head else { break }
            let length = self.pending[(at + head - 4)..<(at + head)].reduce(0) { $0 << 8 | Int($1) } + head - 4
            guard length >= head, self.pending.count - at >= length else { break }
            if self.hasStarted {
                let body = self.pending[(at + 5)..<(at + length)]
                if let end = self.message(self.pending[at], body) { ended.append(end) }
            } else {
                self.hasStarted = true
            }
            at += length
        }
        self.pending.removeFirst(at)
        return ended
    }

    /// Whether the request that this message ends may have written; nil when it ends none.
    private mutating func message(_ type: UInt8, _ body: ArraySlice<UInt8>) -> Bool? {
        switch type {
        case UInt8(ascii: "P"):
            let (name, rest) = Self.string(body)
            self.statements[name] = Self.writes(Self.string(rest).0)
        case UInt8(ascii: "B"):
            let (_, rest) = Self.string(body)
            if self.statements[Self.string(rest).0] == true { self.mayWrite = true }
        case UInt8(ascii: "Q"):
            return Self.writes(Self.string(body).0)
        case UInt8(ascii: "S"):
            defer { self.mayWrite = false }
            return self.mayWrite
        default:
            break
        }
        return nil
    }

    private static func string(_ bytes: ArraySlice<UInt8>) -> (String, ArraySlice<UInt8>) {
        let text = bytes.prefix { $0 != 0 }
        return (String(decoding: text, as: UTF8.self), bytes.dropFirst(text.count + 1))
    }

    private static func writes(_ sql: String) -> Bool {
        ["INSERT", "UPDATE", "DELETE", "enqueue_turn"].contains { sql.contains($0) }
    }
}
