import Domain

/// A table for people: a head and rows of as many cells.
struct Table: Sendable {
    let head: [String]
    let rows: [[String]]

    private static let gap = 2
    /// A column that is cut keeps this much.
    private static let least = 8

    /// Each column as wide as its widest cell. Where that is more than `width`, the widest columns give up what is too
    /// much, but never the first one, nor one of identities: by those a row is asked for again. Nil is no bound: nothing
    /// is cut.
    func text(width: Int?) -> String {
        let all = [self.head] + self.rows.map { $0.map(Self.line) }
        let natural = self.head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        let fixed = self.head.indices.filter { column in
            column == 0 || self.rows.contains { TurnID($0[column]) != nil }
        }
        let widths = width.map { Self.fitted(natural, but: fixed, to: $0) } ?? natural
        return all.map { row in
            let cells = zip(row, widths).map(Self.cell)
            return cells.joined(separator: String(repeating: " ", count: Self.gap)).trimmedEnd + "\n"
        }.joined()
    }

    /// A cell is one line, whatever the text.
    private static func line(_ text: String) -> String {
        ChatRenderer.printable(text).split { $0.isNewline || $0 == "\t" }.joined(separator: " ")
    }

    private static func fitted(_ natural: [Int], but fixed: [Int], to width: Int) -> [Int] {
        let elastic = natural.indices.filter { !fixed.contains($0) }
        var widths = natural
        var excess = natural.reduce(0, +) + self.gap * (natural.count - 1) - width
        while excess > 0, let widest = elastic.max(by: { widths[$0] < widths[$1] }),
            widths[widest] > self.least
        {
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }

    private static func cell(_ text: String, _ width: Int) -> String {
        let count = text.count
        if count > width { return text.prefix(width - 1) + "…" }
        return text + String(repeating: " ", count: width - count)
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        String(self.reversed().drop { $0 == " " }.reversed())
    }
}
