import Domain
import Foundation
import TestKit
import Testing

@testable import turnpike

@Suite("Presets for the agents of others")
struct PresetTests {
    private static let settings = [("base_url", "http://127.0.0.1:1/v1"), ("model", "m"), ("api_key", "k")]
        .map { (key: $0.0, value: $0.1) }

    @Test(
        "every preset becomes a valid configuration without gaps, and survives being stored",
        arguments: AgentPreset.all
    )
    func valid(_ preset: AgentPreset) throws {
        let configuration = try preset.configuration(Self.settings)
        #expect(configuration.problems.map { "\($0.member) \($0.problem)" } == [])
        let text = String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
        #expect(!text.contains("{{"))
        #expect(text.contains("127.0.0.1:1"))
        #expect(try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8)) == configuration)
        #expect(configuration.permissions == .ask)
        #expect(configuration.snapshots.kind == .directory)
    }

    @Test("presets have names of their own, and each says how it is installed")
    func names() throws {
        #expect(Set(AgentPreset.all.map(\.name)).count == AgentPreset.all.count)
        for preset in AgentPreset.all {
            _ = try AgentID(preset.name)
            #expect(preset.packages.allSatisfy { $0.contains("==") })
            #expect(preset.installation.contains(preset.packages[0]))
        }
    }

    @Test("a value keeps its meaning in a file, whatever is in it")
    func quoting() throws {
        let key = #"a"b\c d"#
        let configuration = try AgentPreset.codePuppy.configuration(
            [("base_url", "u"), ("model", "m"), ("api_key", key)].map { (key: $0.0, value: $0.1) }
        )
        let text = try #require(configuration.files["home/.code_puppy/extra_models.json"]?.text)
        let json = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        #expect(json["turnpike"]?["custom_endpoint"]?["api_key"]?.text == key)
        #expect(throws: CommandFailure.self) {
            try AgentPreset.codePuppy.configuration(Self.settings + [("api_key", "a\nb")])
        }
    }

    @Test("what names no setting is a member of the configuration, and nothing else passes")
    func members() throws {
        let configuration = try AgentPreset.hermes.configuration(
            Self.settings + [
                ("program", "/opt/h/bin/hermes-acp"), ("permissions", "allow"), ("limits.idle_seconds", "60"),
                ("environment.HTTPS_PROXY", "http://p"),
            ]
        )
        #expect(configuration.command == ["/opt/h/bin/hermes-acp"])
        #expect(configuration.permissions == .allow)
        #expect(configuration.limits.idleSeconds == 60)
        #expect(configuration.limits.startSeconds == 90)
        #expect(configuration.environment["HTTPS_PROXY"] == "http://p")
        for wrong in [("permisions", "allow"), ("permissions", "maybe"), ("limits.idle_seconds", "soon")] {
            #expect(throws: CommandFailure.self) { try AgentPreset.hermes.configuration(Self.settings + [wrong]) }
        }
        #expect {
            try AgentPreset.hermes.configuration([("model", "m")])
        } throws: { "\($0)".contains("--set base_url=") && !"\($0)".contains("--set model=") }
    }

    @Test("a check reads as a list of what the agent can do, or as why it does not start")
    func checks() {
        var report = AgentReport(
            initialize: [
                "protocolVersion": 1, "agentInfo": ["name": "x\u{1B}[2J", "version": "2"],
                "agentCapabilities": [
                    "loadSession": true, "promptCapabilities": ["image": true, "audio": false],
                    "mcpCapabilities": ["http": true], "sessionCapabilities": ["resume": [:]],
                ],
                "authMethods": [["id": "key"]],
            ],
            session: ["modes": ["currentModeId": "b", "availableModes": [["id": "a"], ["id": "b"]]]]
        )
        #expect(report.resumesSessions)
        #expect(report.modes == ["b", "a"])
        let lines = AgentCommands.lines(
            ["starts": true, "milliseconds": 3_250, "memory_bytes": 2_097_152, "report": report.json],
            name: "helper"
        )
        for part in [
            "helper starts.", "3.2 s", "2 MiB", "x[2J 2", "ACP 1", "session/load", "text, image", "stdio, http", "key",
        ] {
            #expect(lines.contains(part), "\(part)")
        }
        report = AgentReport(initialize: [:], session: [:])
        #expect(report.promptParts == ["text"])
        #expect(!report.loadsSessions && !report.resumesSessions && !report.handsOverSnapshots)
        let failed = AgentCommands.lines(
            ["starts": false, "milliseconds": 10, "failure": ["message": "it exited"]],
            name: "helper"
        )
        #expect(failed == "helper does not start (after 0.0 s): it exited\n")
    }

    @Test("the examples are valid configurations of presets", arguments: ["coder", "assistant"])
    func examples(_ name: String) async throws {
        let folder = try ScratchDirectory()
        try Data("k\n".utf8).write(to: URL(filePath: folder.file("key")))
        // A link, not a script: what was just written cannot be run while another test's child still has it open.
        try FileManager.default.createSymbolicLink(atPath: folder.file("turnpike"), withDestinationPath: "/bin/echo")
        let script = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../deploy/examples/\(name).sh").standardizedFileURL.path
        let run = try await Spawned.start(
            ["/bin/sh", script, "--print"],
            environment: [
                "PATH": "\(folder.path):/usr/bin:/bin", "MODEL_URL": "http://127.0.0.1:1/v1", "MODEL": "m",
                "MODEL_KEY": folder.file("key"),
            ],
            output: folder.file("words")
        )
        #expect(try await run.end(within: .seconds(10)) == 0, "\(run.text)")
        let words = run.text.split(whereSeparator: \.isWhitespace).map(String.init)
        try #require(words.prefix(2) == ["agent", "add"] && words.last == "--print")
        let preset = try #require(AgentPreset.all.first { $0.name == words[2] })
        let sets = zip(words, words.dropFirst()).filter { $0.0 == "--set" }.map(\.1)
        let configuration = try preset.configuration(try AgentCommands.replacements(sets))
        #expect(configuration.problems.map { "\($0.member) \($0.problem)" } == [])
        #expect(configuration.isolation != .none)
        let pinned = try String(contentsOfFile: script, encoding: .utf8)
        #expect(preset.packages.allSatisfy(pinned.contains))
        withExtendedLifetime(folder) {}
    }
}
