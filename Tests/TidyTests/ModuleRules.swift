/// Which module may know which: the one table behind ARCHITECTURE.md's picture.
enum ModuleRules {
    /// Modules that know no domain word.
    static let platform: Set<String> = [
        "Archive", "Crypto", "EmbeddedPostgres", "HTTP", "Postgres", "Runtime", "Subprocess",
    ]

    /// For each module below `Sources`, and `Migrations`, the modules of ours that it may import.
    static let imports: [String: Set<String>] = [
        "Runtime": ["CRuntime"],
        "Crypto": ["CCrypto"],
        "Archive": ["CArchive", "CRuntime", "Crypto", "Runtime"],
        "Postgres": ["CPostgres", "Runtime"],
        "HTTP": ["CCurlShim", "CRuntime", "Runtime"],
        "Subprocess": ["CRuntime", "CSubprocess", "Runtime"],
        "EmbeddedPostgres": ["CRuntime", "Postgres", "Runtime"],
        "Domain": [],
        "Faults": ["Runtime"],
        "Migrations": [],
        "Store": ["Crypto", "Domain", "Faults", "Migrations", "Postgres", "Runtime"],
        "Workers": ["Archive", "Crypto", "Domain", "Faults", "Runtime", "Subprocess"],
        "Gateway": ["Crypto", "Domain", "Faults", "Postgres", "Runtime", "Store", "Workers"],
        "API": ["Crypto", "Domain", "Gateway", "HTTP", "Runtime"],
        "turnpike": [
            "API", "CCurlShim", "Crypto", "Domain", "EmbeddedPostgres", "Faults", "Gateway", "HTTP", "Migrations",
            "Postgres", "Runtime", "Store", "Subprocess", "Workers",
        ],
        "TestKit": ["Domain", "EmbeddedPostgres", "Postgres", "Runtime", "Store", "Subprocess"],
    ]

    /// Ours, C ones included, as opposed to the system's.
    static let ours = Set(imports.keys).union(imports.values.joined())

    /// Modules whose literals may be SQL.
    static let speaksSQL: Set<String> = ["EmbeddedPostgres", "Migrations", "Postgres", "Store", "TestKit"]

    private static let statements: Set<String> = [
        "ALTER", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "MERGE", "REVOKE", "SELECT", "TRUNCATE", "UPDATE",
        "WITH",
    ]

    private static let domainWords: Set<String> = [
        "approval", "approvals", "conversation", "conversations", "deployment", "deployments", "epoch", "epochs",
        "fence", "fences", "marker", "markers", "snapshot", "snapshots", "turn", "turns", "worker", "workers",
    ]

    /// Imports that the table does not allow; Domain may not even import the system's modules.
    static func importViolations(_ source: SwiftSource) -> [Violation] {
        guard let allowed = self.imports[source.module] else {
            return [source.violation(1, "the module \(source.module) is not in the table of ModuleRules")]
        }
        return source.imports.compactMap { line, name in
            if source.module != "Domain" && !self.ours.contains(name) { return nil }
            return allowed.contains(name) ? nil : source.violation(line, "\(source.module) may not import \(name)")
        }
    }

    /// String literals that begin as a statement does, in modules that do not speak SQL.
    static func sqlViolations(_ source: SwiftSource) -> [Violation] {
        guard !self.speaksSQL.contains(source.module) else { return [] }
        return source.literals.compactMap { literal in
            let parts = literal.text.split(maxSplits: 1, whereSeparator: \.isWhitespace)
            // A method and a path are no statement.
            guard parts.count == 2, self.statements.contains(String(parts[0])), !parts[1].hasPrefix("/") else {
                return nil
            }
            return source.violation(literal.line, "SQL outside the modules that speak it: \(parts[0])")
        }
    }

    /// Domain words in a platform module. In prose "turn" is English, so it counts only as a part of a name.
    static func vocabularyViolations(_ source: SwiftSource) -> [Violation] {
        guard self.platform.contains(source.module) else { return [] }
        var violations: [Violation] = []
        for (index, line) in source.lines.enumerated() {
            let names = SwiftSource.words(source.code[index]).flatMap(self.parts)
            let prose = SwiftSource.words(line).map { $0.lowercased() }.filter { !$0.hasPrefix("turn") }
            let found = self.domainWords.intersection(names).union(self.domainWords.intersection(prose))
            violations += found.sorted().map { source.violation(index + 1, "the platform knows no \($0)") }
        }
        return violations
    }

    /// `spawnedWorker` and `spawned_worker` are made of `spawned` and `worker`.
    private static func parts(of name: String) -> [String] {
        var parts: [String] = [""]
        for character in name {
            if character == "_" || character.isUppercase { parts.append("") }
            if character != "_" { parts[parts.count - 1] += character.lowercased() }
        }
        return parts
    }
}
