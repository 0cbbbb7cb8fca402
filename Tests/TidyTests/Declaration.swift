/// A declaration that begins on one line of code.
struct Declaration {
    let line: Int
    let keyword: String
    let name: String

    private static let modifiers: Set<String> = SwiftSource.accessLevels.union([
        "async", "borrowing", "consuming", "convenience", "dynamic", "final", "indirect", "isolated", "lazy",
        "mutating", "nonisolated", "nonmutating", "override", "prefix", "postfix", "required", "sending", "static",
        "unowned", "unsafe", "weak", "set", "concurrent", "discardableResult", "inlinable", "testable",
    ])

    private static let types: Set<String> = ["actor", "class", "enum", "protocol", "struct", "typealias"]
    private static let keywords: Set<String> = types.union([
        "case", "deinit", "extension", "func", "import", "init", "let", "subscript", "var",
    ])

    /// Nil if no declaration begins on the line.
    init?(_ code: String, line: Int) {
        let words = SwiftSource.words(code)
        guard var index = words.firstIndex(where: Self.keywords.contains) else { return nil }
        guard words[..<index].allSatisfy(Self.modifiers.contains) else { return nil }
        // `class func` declares a function.
        if words[index] == "class", index + 1 < words.count, Self.keywords.contains(words[index + 1]) { index += 1 }
        // `init` as a call, and `case` as a pattern, come after a dot or in a switch; the first only looks similar.
        guard !code.contains(".init") || words[index] != "init" else { return nil }
        self.line = line
        self.keyword = words[index]
        self.name = index + 1 < words.count ? words[index + 1] : ""
    }

    var isType: Bool { Self.types.contains(self.keyword) }

    /// Declarations for other modules that have no `///`. What needs none: initializers and witnesses that say nothing
    /// beyond their type or protocol, operators, and extensions.
    static func undocumented(_ source: SwiftSource) -> [Violation] {
        source.code.indices.compactMap { index in
            let trimmed = source.code[index].trimmingPrefix { $0 == " " }
            guard ["package ", "public ", "open "].contains(where: { trimmed.hasPrefix($0) }) else { return nil }
            guard let declaration = Declaration(source.code[index], line: index + 1), !declaration.isSelfEvident,
                !source.isWitness(index),
                !trimmed.contains("static func =="), !trimmed.contains("static func <"), !trimmed.contains("override"),
                !source.comment(above: index).contains("///")
            else { return nil }
            return source.violation(index + 1, "\(declaration.keyword) \(declaration.name) has no doc comment")
        }
    }

    /// Members of the standard library's protocols, and of its executors (SE-0392), that mean what they mean there.
    private static let witnesses: Set<String> = [
        "asUnownedSerialExecutor", "checkIsolated", "description", "encode", "enqueue", "hash",
        "isIsolatingCurrentContext", "rawValue", "unownedExecutor",
    ]

    private var isSelfEvident: Bool {
        if ["extension", "import", "init"].contains(self.keyword) { return true }
        return Self.witnesses.contains(self.name)
    }

    /// A file with nothing but one type at its top level is named after it; `Name+More.swift` extends or holds `Name`.
    static func misnamed(_ source: SwiftSource) -> [Violation] {
        let top = source.code.indices.compactMap { index in
            source.code[index].hasPrefix(" ") ? nil : Declaration(source.code[index], line: index + 1)
        }
        let types = top.filter { $0.isType && !source.code[$0.line - 1].contains("private ") }
        let base = String(source.name.prefix { $0 != "+" })
        let extended = top.filter { $0.keyword == "extension" }.map(\.name)
        let names = Set(types.map(\.name) + extended)
        // `Routes.swift` holds `Route` and lists them all; a module's only file may have the module's name.
        let isPlural = base.hasSuffix("s") && names.contains(String(base.dropLast()))
        guard !names.contains(base), !isPlural, base != source.module else { return [] }
        if source.name.contains("+") {
            return [source.violation(1, "is called \(source.name).swift and does not extend \(base)")]
        }
        guard types.count == 1, !top.contains(where: { ["func", "let"].contains($0.keyword) }) else { return [] }
        guard extended.isEmpty else { return [] }
        return [source.violation(types[0].line, "holds \(types[0].name) and is called \(source.name).swift")]
    }
}

extension SwiftSource {
    /// Whether a line is in an extension that adds a conformance: the protocol's documentation is the member's.
    func isWitness(_ index: Int) -> Bool {
        let opening = self.code[...index].last { !$0.isEmpty && !$0.hasPrefix(" ") } ?? ""
        guard Declaration(opening, line: 0)?.keyword == "extension" else { return false }
        return opening.prefix { $0 != "{" }.contains(":")
    }
}
