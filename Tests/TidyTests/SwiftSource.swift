/// A Swift file taken apart far enough to tell code from comments and string literals.
struct SwiftSource {
    /// A string literal, without its quotes, and the line it begins on.
    struct Literal: Equatable {
        let line: Int
        let text: String
    }

    let path: String
    /// The lines as they stand.
    let lines: [String]
    /// The same lines with comments and the contents of string literals blanked out.
    let code: [String]
    let literals: [Literal]

    init(path: String, text: String) {
        var scanner = SwiftScanner(text)
        scanner.scan()
        self.path = path
        self.lines = Self.split(Array(text.utf8))
        self.code = Self.split(scanner.code)
        self.literals = scanner.literals
    }

    static let accessLevels: Set<String> = ["private", "fileprivate", "internal", "package", "public", "open"]

    /// The module whose folder the file is in.
    var module: String {
        let parts = self.path.split(separator: "/").map(String.init)
        return parts[0] == "Sources" || parts[0] == "Tests" ? parts[1] : parts[0]
    }

    /// The file's name without its extension.
    var name: String {
        let file = self.path.split(separator: "/").last.map(String.init) ?? ""
        return String(file.prefix { $0 != "." })
    }

    /// The words of a line of code: identifiers and keywords.
    static func words(_ line: String) -> [String] {
        line.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
    }

    /// The imported modules with their lines.
    var imports: [(line: Int, name: String)] {
        self.code.enumerated().compactMap { index, line in
            let words = line.split(separator: " ").map(String.init)
            guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count else { return nil }
            let before = words[..<keyword]
            guard before.allSatisfy({ $0.hasPrefix("@") || Self.accessLevels.contains($0) }) else { return nil }
            let kinds: Set<String> = ["class", "enum", "func", "let", "protocol", "struct", "typealias", "var"]
            let name = words[(keyword + 1)...].first { !kinds.contains($0) } ?? ""
            return (index + 1, String(name.prefix { $0 != "." }))
        }
    }

    /// The comment and the attributes directly above a line.
    func comment(above index: Int) -> String {
        var first = index
        while first > 0 {
            let line = self.lines[first - 1].trimmingPrefix { $0 == " " }
            guard line.hasPrefix("//") || line.hasPrefix("@") else { break }
            first -= 1
        }
        return self.lines[first..<index].joined(separator: "\n")
    }

    func violation(_ line: Int, _ message: String) -> Violation {
        Violation(path: self.path, line: line, message: message)
    }

    private static func split(_ bytes: [UInt8]) -> [String] {
        bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }
}

/// A place that breaks a rule of the house.
struct Violation: Equatable, CustomStringConvertible {
    let path: String
    let line: Int
    let message: String

    var description: String {
        "\(self.path):\(self.line): \(self.message)"
    }
}
