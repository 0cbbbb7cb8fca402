/// Rules about the files as a whole.
enum RepositoryRules {
    /// What the top level holds, all of it and nothing else.
    static let topLevel: Set<String> = [
        ".ci", ".gitignore", ".swift-format", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile", "Migrations",
        "Package.swift", "README.md", "Sources", "Tests", "deploy", "docker-compose.yml",
    ]

    static func topLevelViolations(_ paths: [String]) -> [Violation] {
        let found = Set(paths.compactMap { $0.split(separator: "/").first.map(String.init) })
        let strays = found.subtracting(self.topLevel).sorted().map {
            Violation(path: $0, line: 1, message: "does not belong at the top level")
        }
        let missing = self.topLevel.subtracting(found).sorted().map {
            Violation(path: $0, line: 1, message: "is missing at the top level")
        }
        return strays + missing
    }

    /// Migrations are numbered from 0001 without a gap or a double.
    static func migrationViolations(_ paths: [String]) -> [Violation] {
        let files = paths.filter { $0.hasPrefix("Migrations/") && $0.hasSuffix(".sql") && $0.contains("/0") }.sorted()
        return files.enumerated().compactMap { index, path in
            let name = path.split(separator: "/").last ?? ""
            let digits = String(index + 1)
            let wanted = String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "_"
            guard !name.hasPrefix(wanted) else { return nil }
            return Violation(path: path, line: 1, message: "migration number \(index + 1) should begin with \(wanted)")
        }
    }

    /// Folders of the machines on which this was written. Put together here, so that this file passes.
    private static let machinePaths = ["work", "root"].map { "/" + $0 + "/" }

    static func machinePathViolations(_ path: String, _ text: String) -> [Violation] {
        guard self.machinePaths.contains(where: text.contains) else { return [] }
        return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().flatMap { index, line in
            self.machinePaths.filter { self.mentions(line, $0) }.map {
                Violation(path: path, line: index + 1, message: "names a folder of one machine: \($0)")
            }
        }
    }

    /// Only where an absolute path begins: `https://host/…` and `a/b/…` are not this machine's.
    private static func mentions(_ line: Substring, _ folder: String) -> Bool {
        line.ranges(of: folder).contains { range in
            guard range.lowerBound > line.startIndex else { return true }
            let before = line[line.index(before: range.lowerBound)]
            return !(before.isLetter || before.isNumber || [".", "_", "-", "}", ")", "*", "~"].contains(before))
        }
    }
}
