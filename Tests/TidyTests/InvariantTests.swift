import Foundation
import Testing

/// The invariants that ARCHITECTURE.md lists, and the tests that it names for them.
@Suite("The invariants")
struct InvariantTests {
    /// The titles of tests in the last column of the table of invariants.
    static func named(in document: String) -> [String] {
        let lines = document.split(separator: "\n", omittingEmptySubsequences: false)
        let table = lines.drop { $0 != "## Invariants" }.dropFirst().prefix { !$0.hasPrefix("## ") }
        return table.filter { $0.hasPrefix("|") }.flatMap { line in
            let shown = line.split(separator: "|").last ?? ""
            // Every second piece is between two quotation marks.
            return shown.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
                .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
        }
    }

    /// Whether a test has that title, or begins like it where it ends in `…`.
    static func exists(_ title: String, among texts: [String]) -> Bool {
        let isCut = title.hasSuffix("…")
        let start = "\"" + (isCut ? title.dropLast().trimmingCharacters(in: .whitespaces) : title)
        return texts.contains { $0.contains(isCut ? start : start + "\"") }
    }

    @Test("every test that ARCHITECTURE.md names for an invariant is there")
    func proofs() throws {
        let files = try Repository().files
        let document = try #require(files.first { $0.path == "ARCHITECTURE.md" }?.text)
        let tests = files.filter { $0.path.hasPrefix("Tests/") && $0.path.hasSuffix("Tests.swift") }.compactMap(\.text)
        let named = Self.named(in: document)
        #expect(named.count > 30)
        #expect(named.filter { !Self.exists($0, among: tests) } == [])
    }

    @Test("a title that no test has is found, whole or cut")
    func planted() {
        let document = #"""
            ## Invariants
            | there is no … | kept by | shown by |
            | second x | a key | ATests "one stays", "two st…"; BTests |
            ## Other
            | x | y | "three" |
            """#
        #expect(Self.named(in: document) == ["one stays", "two st…"])
        let tests = [#"@Test("one stays")"#, #"@Test("two stay")"#]
        for title in ["one stays", "two st…"] { #expect(Self.exists(title, among: tests), "\(title)") }
        for title in ["one", "two st", "three…", "stays"] { #expect(!Self.exists(title, among: tests), "\(title)") }
    }
}
