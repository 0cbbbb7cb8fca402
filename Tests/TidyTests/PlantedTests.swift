import Testing

/// Each rule fails on a small planted sample and passes on its repaired twin.
@Suite("The rules of the house can fail")
struct PlantedTests {
    @Test("comments and literals are told from code")
    func scanner() {
        let text = ##"""
            let a = "one \(b + "two") // no comment" // a comment "x"
            /* outer /* inner */ "still" */ let c = #"raw \(no) "quote""#
            """##
        let source = Self.source("Runtime", text)
        #expect(source.literals.map(\.text) == ["two", "one  // no comment", #"raw \(no) "quote""#])
        #expect(source.code[0].contains("(b + \"   \")") && !source.code[0].contains("comment"))
        #expect(source.code[1].contains("let c = ") && !source.code[1].contains("still"))
        #expect(source.code[0].utf8.count == source.lines[0].utf8.count)
    }

    @Test(
        "a forbidden import is found however it is written",
        arguments: ["import Store", "package import Store", "internal import Store", "@testable import Store"]
    )
    func imports(line: String) {
        #expect(ModuleRules.importViolations(Self.source("API", line)).count == 1)
        #expect(ModuleRules.importViolations(Self.source("Gateway", line)).isEmpty)
    }

    @Test("Domain imports nothing, Workers and API not the Store, the platform not the domain, and all are listed")
    func importTable() {
        #expect(ModuleRules.importViolations(Self.source("Domain", "import Foundation")).count == 1)
        #expect(ModuleRules.importViolations(Self.source("Workers", "import Store")).count == 1)
        #expect(ModuleRules.importViolations(Self.source("API", "import Workers")).count == 1)
        #expect(ModuleRules.importViolations(Self.source("Unlisted", "")).count == 1)
        #expect(ModuleRules.importViolations(Self.source("Runtime", "import Glibc")).isEmpty)
        for module in ModuleRules.platform {
            for other in ["Domain", "Store", "Workers", "Gateway", "API"] {
                let found = ModuleRules.importViolations(Self.source(module, "import \(other)"))
                #expect(found.count == 1, "\(module) may import \(other)")
            }
        }
    }

    @Test("SQL is found in a literal, also in a multi-line one, and not in prose")
    func sql() {
        let planted = ["\"SELECT 1\"", "\"\"\"\n    WITH x AS (SELECT 1)\n    \"\"\"", "\"  DELETE FROM t\""]
        for text in planted {
            #expect(ModuleRules.sqlViolations(Self.source("Gateway", "let q = \(text)")).count == 1, "\(text)")
            #expect(ModuleRules.sqlViolations(Self.source("Store", "let q = \(text)")).isEmpty)
        }
        #expect(ModuleRules.sqlViolations(Self.source("Gateway", "let q = \"Select one\" // SELECT 1")).isEmpty)
    }

    @Test("a domain word is found in a name of any shape and in prose, but a return is no turn")
    func vocabulary() {
        let planted = ["let spawnedWorker = 1", "let next_turn = 1", "// one per conversation", "struct TurnQueue {}"]
        for text in planted {
            #expect(ModuleRules.vocabularyViolations(Self.source("Runtime", text)).count == 1, "\(text)")
            #expect(ModuleRules.vocabularyViolations(Self.source("Gateway", text)).isEmpty)
        }
        let fine = "return saturn // in turn, it turns, returned, coworker"
        #expect(ModuleRules.vocabularyViolations(Self.source("Runtime", fine)).isEmpty)
    }

    @Test("a function and a file are too long from one line past the limit on")
    func lengths() {
        let body = { (count: Int) in String(repeating: "        x = { 1 }\n", count: count) }
        let planted = { (count: Int) in
            Self.source("Store", "    private static func long(\n    ) -> [Int] {\n\(body(count - 3))    }\n")
        }
        #expect(CodeRules.functionLengthViolations(planted(71)).count == 1)
        #expect(CodeRules.functionLengthViolations(planted(70)).isEmpty)
        let requirements = "protocol P {\n    func a()\n    func b()\n}\n" + body(100)
        #expect(CodeRules.functionLengthViolations(Self.source("Store", requirements)).isEmpty)
        #expect(CodeRules.fileLengthViolations("x", String(repeating: "\n", count: 401)).count == 1)
        #expect(CodeRules.fileLengthViolations("x", String(repeating: "\n", count: 400)).isEmpty)
    }

    @Test(
        "banned words are found",
        arguments: [
            "let x = try! f()", "fatalError()", "Task.detached { }", "print(1)", "nonisolated(unsafe) var x = 1",
            "// TO" + "DO: later", "// FIX" + "ME",
        ]
    )
    func bannedWords(line: String) {
        #expect(CodeRules.bannedWordViolations(Self.source("Gateway", line)).count == 1)
    }

    @Test("what only looks like a banned word is not found")
    func similarWords() {
        let fine =
            "func print(x) { fingerprint(1) }; Task.detachedTimer(); x.print(2); fatalError(\"why\"); let s = \"try! print(1)\" // print(1)"
        #expect(CodeRules.bannedWordViolations(Self.source("Gateway", fine)).isEmpty)
    }

    @Test("@unchecked Sendable needs the platform and a reason")
    func unchecked() {
        let bare = "final class Box: @unchecked Sendable {}"
        let explained = "/// A box.\n///\n/// `@unchecked Sendable`: locked.\n\(bare)"
        #expect(CodeRules.uncheckedViolations(Self.source("Runtime", bare)).count == 1)
        #expect(CodeRules.uncheckedViolations(Self.source("Gateway", explained)).count == 1)
        #expect(CodeRules.uncheckedViolations(Self.source("Runtime", explained)).isEmpty)
    }

    @Test(
        "a declaration for other modules without a doc comment is found",
        arguments: [
            "package struct S {}", "    package var x: Int { 1 }", "package final class C {}", "public enum E {}",
            "    package static func make() {}", "    @discardableResult\n    package func f() -> Int { 1 }",
        ]
    )
    func documentation(text: String) {
        #expect(Declaration.undocumented(Self.source("Store", text)).count == 1)
        #expect(Declaration.undocumented(Self.source("Store", "// Prose.\n\(text)")).count == 1)
        #expect(Declaration.undocumented(Self.source("Store", "/// Said.\n\(text)")).isEmpty)
        let conformance = "extension S: P {\n    package func f() {}\n}\n"
        #expect(Declaration.undocumented(Self.source("Store", conformance)).isEmpty)
        #expect(Declaration.undocumented(Self.source("Store", conformance + text)).count == 1)
    }

    @Test("a file's name is its type's, or what it extends")
    func fileNames() {
        #expect(Declaration.misnamed(Self.source("Store", "struct Other {}", name: "Name")).count == 1)
        #expect(Declaration.misnamed(Self.source("Store", "struct Name {}", name: "Name")).isEmpty)
        #expect(Declaration.misnamed(Self.source("Store", "extension Other {}", name: "Name+More")).count == 1)
        #expect(Declaration.misnamed(Self.source("Store", "extension Name {}", name: "Name+More")).isEmpty)
        #expect(Declaration.misnamed(Self.source("Store", "struct A {}\nstruct B {}", name: "Records")).isEmpty)
    }

    @Test("a stray or missing entry of the top level, a gap in the migrations and a machine's folder are found")
    func repository() {
        let complete = RepositoryRules.topLevel.map { "\($0)/x" }
        #expect(RepositoryRules.topLevelViolations(complete).isEmpty)
        #expect(RepositoryRules.topLevelViolations(complete + ["notes.txt"]).count == 1)
        #expect(RepositoryRules.topLevelViolations(Array(complete.dropFirst())).count == 1)

        let migrations = ["Migrations/0001_a.sql", "Migrations/0002_b.sql"]
        #expect(RepositoryRules.migrationViolations(migrations).isEmpty)
        #expect(RepositoryRules.migrationViolations(migrations + ["Migrations/0004_d.sql"]).count == 1)
        #expect(RepositoryRules.migrationViolations(migrations + ["Migrations/0002_c.sql"]).count == 1)

        for folder in ["/wo" + "rk/x", "cd /ro" + "ot/x"] {
            #expect(RepositoryRules.machinePathViolations("f", "first\n\(folder)").map(\.line) == [2])
        }
        #expect(RepositoryRules.machinePathViolations("f", "https://example.org/wo" + "rk/x").isEmpty)
    }

    private static func source(_ module: String, _ text: String, name: String = "File") -> SwiftSource {
        SwiftSource(path: "Sources/\(module)/\(name).swift", text: text)
    }
}
