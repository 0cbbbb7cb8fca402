import Testing

@testable import Domain

struct PathPartsTests {
    /// A slash with a mark that combines with it: one character to Swift, two to the system.
    private static let fused = "/\u{301}"

    @Test(
        "a path is cut where the system cuts it",
        arguments: [
            ("a/b", ["a", "b"]), ("/a//b/", ["", "a", "", "b", ""]), ("", [""]),
            ("a/..\(fused)b", ["a", "..", "\u{301}b"]), ("home/\u{1f3fb}", ["home", "\u{1f3fb}"]),
        ]
    )
    func parts(_ path: String, _ expected: [String]) {
        #expect(PathParts.of(path) == expected)
    }

    @Test("no file, path or pattern of an agent leads out of its place behind a mark that hides a slash")
    func hidden() {
        var agent = AgentConfiguration(driver: .acp, command: ["x"], storeMode: .none)
        agent.files = ["home/..\(Self.fused)x": AgentFile("text")]
        #expect(agent.problems.map(\.member) == ["files.home/..\(Self.fused)x"])
        agent.files = ["home/\u{1f3fb}": AgentFile("text")]
        #expect(agent.problems.isEmpty)
        agent.files["home/\u{1f3fb}\(Self.fused)b"] = AgentFile("text")
        #expect(agent.problems.map(\.member) == ["files.home/\u{1f3fb}"], "a file and a directory of one name")
        agent.files = [:]
        agent.isolation = .sandbox
        agent.readOnlyPaths = ["/opt/..\(Self.fused)etc"]
        #expect(agent.problems.map(\.member) == ["read_only_paths"])
        agent.readOnlyPaths = []
        agent.snapshots.kind = .directory
        agent.snapshots.exclude = ["home/..\(Self.fused)x"]
        #expect(agent.problems.map(\.member) == ["snapshots.exclude[0]"])
    }
}
