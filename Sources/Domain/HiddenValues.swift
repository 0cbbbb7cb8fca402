// What an organization is not shown of an agent that was provided to it: values that are the operator's, such as keys.
extension AgentConfiguration {
    /// Stands for a value that is not shown.
    private static let hidden = "***"

    /// The same with the names in `environment`, `files` and the tool servers' variables and headers, and none of the values.
    package var withoutValues: AgentConfiguration {
        var shown = self
        shown.environment = shown.environment.mapValues { _ in Self.hidden }
        shown.files = shown.files.mapValues { AgentFile(Self.hidden, owner: $0.owner) }
        for index in shown.mcpServers.indices {
            for entry in shown.mcpServers[index].environment.indices {
                shown.mcpServers[index].environment[entry].value = Self.hidden
            }
            for entry in shown.mcpServers[index].headers.indices {
                shown.mcpServers[index].headers[entry].value = Self.hidden
            }
        }
        return shown
    }

    /// A configuration that was shown without its values is not one to store.
    var hiddenProblems: [(member: String, problem: String)] {
        let servers = self.mcpServers.flatMap { $0.environment + $0.headers }.map(\.value)
        let members: [(String, [String])] = [
            ("environment", Array(self.environment.values)), ("files", self.files.values.map(\.text)),
            ("mcp_servers", servers),
        ]
        return members.filter { $0.1.contains(Self.hidden) }.map { member, _ in
            (member, "must say its values: \(Self.hidden) stands for one that is not shown")
        }
    }
}
