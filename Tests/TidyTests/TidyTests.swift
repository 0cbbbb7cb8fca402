import Testing

/// The rules of the house on every file of this repository. `PlantedTests` shows that each of them can fail.
@Suite("The house")
struct TidyTests {
    private static let repository = Result { try Repository() }

    private func sources(_ folders: String...) throws -> [SwiftSource] {
        let repository = try Self.repository.get()
        return folders.flatMap { repository.swift(in: $0) }
    }

    @Test("modules import only what the table allows, and every module is in the table")
    func imports() throws {
        let found = try self.sources("Sources", "Migrations").flatMap(ModuleRules.importViolations)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("only the modules that speak SQL hold any")
    func sql() throws {
        let found = try self.sources("Sources").flatMap(ModuleRules.sqlViolations)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("the platform knows no domain word")
    func vocabulary() throws {
        let found = try self.sources("Sources").flatMap(ModuleRules.vocabularyViolations)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("functions and files are short")
    func lengths() throws {
        let functions = try self.sources("Sources", "Tests", "Migrations").flatMap(CodeRules.functionLengthViolations)
        let kinds = [".swift", ".c", ".h", ".py", ".sh"]
        let files = try Self.repository.get().files.flatMap { file in
            guard let text = file.text, kinds.contains(where: file.path.hasSuffix) else { return [Violation]() }
            return CodeRules.fileLengthViolations(file.path, text)
        }
        let found = functions + files
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("banned words are not used, and promises to the compiler are explained")
    func bannedWords() throws {
        let sources = try self.sources("Sources", "Tests", "Migrations")
        let found = sources.flatMap(CodeRules.bannedWordViolations) + sources.flatMap(CodeRules.uncheckedViolations)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("what other modules may use is documented")
    func documentation() throws {
        let found = try self.sources("Sources", "Migrations").flatMap(Declaration.undocumented)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("files are named after their main type")
    func fileNames() throws {
        let found = try self.sources("Sources", "Migrations").flatMap(Declaration.misnamed)
        #expect(found.isEmpty, "\(found.report)")
    }

    @Test("the top level holds exactly what it should, migrations have no gap, and no machine's folder is named")
    func repositoryAsAWhole() throws {
        let files = try Self.repository.get().files
        let paths = files.map(\.path)
        let found =
            RepositoryRules.topLevelViolations(paths) + RepositoryRules.migrationViolations(paths)
            + files.flatMap { file in file.text.map { RepositoryRules.machinePathViolations(file.path, $0) } ?? [] }
        #expect(found.isEmpty, "\(found.report)")
    }
}

extension [Violation] {
    /// One violation a line.
    fileprivate var report: String {
        "\(self.count) violations\n" + self.map(\.description).joined(separator: "\n")
    }
}
