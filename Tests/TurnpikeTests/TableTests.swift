import Testing

@testable import turnpike

@Suite("Tables for people")
struct TableTests {
    private static let table = Table(
        head: ["ID", "NAME", "WHAT"],
        rows: [
            ["0190a1b2-0000-7000-8000-000000000001", "short", String(repeating: "long ", count: 30) + "end"],
            ["0190a1b2-0000-7000-8000-000000000002", String(repeating: "n", count: 40), "x"],
        ]
    )

    @Test("without a bound nothing is cut, and columns stand below each other")
    func whole() {
        let lines = Self.table.text(width: nil).split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[1].hasSuffix("long end") && lines[2].hasSuffix("nnn  x"))
        #expect(lines.allSatisfy { $0.dropFirst(36).hasPrefix("  ") && $0.dropFirst(78).hasPrefix("  ") })
    }

    @Test("no line is wider than the terminal, and what is cut says so")
    func narrow() {
        for width in 56...260 {
            let lines = Self.table.text(width: width).split(separator: "\n")
            #expect(lines.allSatisfy { $0.count <= width }, "\(width)")
            let whole = Self.table.text(width: nil).split(separator: "\n")
            for (line, uncut) in zip(lines, whole) where line != uncut {
                // Every cell is whole, or its beginning with a mark.
                #expect(line.contains("…") || line.split(separator: " ") == uncut.split(separator: " "), "\(width)")
            }
        }
        #expect(Self.table.text(width: 250) == Self.table.text(width: nil))
    }

    @Test("the widest columns give first, and the one that names the row never does")
    func order() {
        let lines = Self.table.text(width: 90).split(separator: "\n").map(String.init)
        #expect(lines[1].hasPrefix("0190a1b2-0000-7000-8000-000000000001  short"))
        // 36 and two gaps leave 50, 25 for each of the other two.
        #expect(lines[1].hasSuffix("  long long long long long…"))
        #expect(lines[2] == "0190a1b2-0000-7000-8000-000000000002  \(String(repeating: "n", count: 24))…  x")
        // Where even that is not enough, lines are longer than the terminal: an id in half is of no use.
        #expect(Self.table.text(width: 20).split(separator: "\n").allSatisfy { $0.count <= 36 + 2 * (2 + 8) })
        #expect(Self.table.text(width: 20).contains("0190a1b2-0000-7000-8000-000000000002"))
    }

    @Test("an identity is never cut, wherever it stands")
    func identities() {
        let id = "0190a1b2-0000-7000-8000-000000000003"
        let table = Table(head: ["REPLICA", "ID", "WHY"], rows: [["one", id, String(repeating: "y", count: 50)]])
        let line = "one      \(id)  \(String(repeating: "y", count: 12))…"
        #expect(table.text(width: 60).split(separator: "\n")[1] == line)
    }

    @Test("a cell is one line without what would move the cursor")
    func printable() {
        let text = Table(head: ["A"], rows: [["x\u{1b}[2Jy\n\nz\tend"]]).text(width: nil)
        #expect(text == "A\nx[2Jy z end\n")
    }
}
