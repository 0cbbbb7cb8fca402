import Domain
import Foundation
import Testing

@testable import Workers

extension WorkerSuite {
    /// The files that an agent's configuration brings along.
    @Suite struct FileTests {
        private static func configuration(_ files: [String: AgentFile]) -> AgentConfiguration {
            Rig.configuration("echo") { $0.files = files }
        }

        /// Starts and ends a worker with `files`; its workspace stays.
        private static func visit(_ rig: Rig, _ files: [String: AgentFile]) async throws -> Workspace {
            let worker = try await rig.start(self.configuration(files))
            Rig.drop(await worker.end())
            return worker.workspace
        }

        private static func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

        @Test("an agent's files are there when its program starts, each for its owner alone")
        func seeded() async throws {
            try await withRig { rig in
                let workspace = try await Self.visit(rig, ["home/.config/a/b.toml": "x = 1\n", "work/note": ""])
                #expect(try Self.text("\(workspace.home)/.config/a/b.toml") == "x = 1\n")
                #expect(try Self.text("\(workspace.work)/note").isEmpty)
                var status = stat()
                #expect(stat("\(workspace.home)/.config/a/b.toml", &status) == 0)
                #expect(status.st_mode & 0o777 == 0o600)
                #expect(stat("\(workspace.home)/.config/a", &status) == 0)
                #expect(status.st_mode & 0o777 == 0o700)
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: "\(workspace.home)/.config/a") == ["b.toml"]
                )
            }
        }

        @Test("a file of the worker's is written once, one of the gateway's before every start")
        func owners() async throws {
            try await withRig { rig in
                func files(_ text: String) -> [String: AgentFile] {
                    ["home/mine": AgentFile(text), "home/yours": AgentFile(text, owner: .gateway)]
                }
                let workspace = try await Self.visit(rig, files("first"))
                try Data("edited".utf8).write(to: URL(filePath: "\(workspace.home)/mine"))
                try Data("edited".utf8).write(to: URL(filePath: "\(workspace.home)/yours"))
                _ = try await Self.visit(rig, files("second"))
                #expect(try Self.text("\(workspace.home)/mine") == "edited")
                #expect(try Self.text("\(workspace.home)/yours") == "second")
            }
        }

        @Test("a symbolic link that a worker left is never written through")
        func links() async throws {
            try await withRig { rig in
                let workspace = try await Self.visit(rig, [:])
                let outside = "\(rig.root)/outside"
                try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: true)
                try Data("theirs".utf8).write(to: URL(filePath: "\(outside)/file"))
                func link(_ name: String, _ target: String) throws {
                    try FileManager.default.createSymbolicLink(
                        atPath: "\(workspace.home)/\(name)",
                        withDestinationPath: "\(outside)\(target)"
                    )
                }
                try link("directory", "")
                try link("gateways", "/file")
                try link("workers", "/file")
                try link("dangling", "/new")
                _ = try await Self.visit(
                    rig,
                    [
                        "home/gateways": AgentFile("ours", owner: .gateway), "home/workers": "ours",
                        "home/dangling": "ours",
                    ]
                )
                #expect(try Self.text("\(workspace.home)/gateways") == "ours")
                #expect(try Self.text("\(outside)/file") == "theirs")
                let refused = try await rig.failStart(Self.configuration(["home/directory/file": "ours"]))
                #expect(refused.error?.code == .workerStartFailed)
                #expect(refused.error?.message.contains("home/directory/file") == true)
                #expect(try FileManager.default.contentsOfDirectory(atPath: outside) == ["file"])
            }
        }

        @Test("paths outside home and work, and ones that contradict each other, are refused")
        func paths() throws {
            let bad = [
                "", "home", "home/", "/home/a", "tmp/a", "home/../work/a", "home//a", "home/./a", "home/a\u{0}b",
                "../home/a", "home/\(String(repeating: "n", count: 256))",
            ]
            for path in bad {
                #expect(!Self.configuration([path: "x"]).problems.isEmpty, "\(path)")
            }
            #expect(Self.configuration(["home/..a/b": "x", "work/a": "y"]).problems.isEmpty)
            #expect(!Self.configuration(["home/a": "x", "home/a/b": "y"]).problems.isEmpty)
            #expect(!Self.configuration(["home/a": AgentFile(String(repeating: "x", count: 1 << 20))]).problems.isEmpty)
        }

        @Test("a file is written as its text, or as an object that names its owner")
        func coding() throws {
            let json = #"{"command":["x"],"files":{"home/a":"1","home/b":{"owner":"gateway","text":"2"}}}"#
            let read = try JSONDecoder().decode(AgentConfiguration.self, from: Data(json.utf8))
            #expect(read.files == ["home/a": "1", "home/b": AgentFile("2", owner: .gateway)])
            let again = try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(read))
            #expect(again == read)
            let unknown = #"{"command":["x"],"files":{"home/b":{"txt":"2"}}}"#
            #expect(throws: DecodingError.self) {
                try JSONDecoder().decode(AgentConfiguration.self, from: Data(unknown.utf8))
            }
        }
    }
}

extension AgentFile: ExpressibleByStringLiteral {
    /// The text of a file that is its worker's.
    package init(stringLiteral text: String) { self.init(text) }
}
