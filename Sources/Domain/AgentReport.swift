/// What an agent that speaks the Agent Client Protocol says of itself while it starts, as far as a gateway's user cares.
package struct AgentReport: Sendable, Hashable {
    /// The protocol's version that it chose.
    package var protocolVersion: Int64 = 0
    /// Its own name; nil when it tells none.
    package var name: String?
    /// Its own version; nil when it tells none.
    package var version: String?
    /// `session/load`: it finds an earlier session again, in its own files.
    package var loadsSessions = false
    /// `session/resume`: the same without repeating what was said.
    package var resumesSessions = false
    /// What a prompt may hold: `text`, and what it names besides.
    package var promptParts: [String] = []
    /// How it reaches the tool servers that it is told of.
    package var mcpTransports: [String] = []
    /// How it can be given credentials.
    package var authMethods: [String] = []
    /// Whether it hands its state over with its replies (`_meta.turnpike.blob`).
    package var handsOverSnapshots = false
    /// Its modes; the current one first.
    package var modes: [String] = []

    /// Reads the results of `initialize` and of `session/new`, with everything optional that is.
    package init(initialize: JSONValue, session: JSONValue) {
        let capabilities = initialize["agentCapabilities"] ?? [:]
        self.protocolVersion = initialize["protocolVersion"]?.integer ?? 0
        self.name = initialize["agentInfo"]?["name"]?.text
        self.version = initialize["agentInfo"]?["version"]?.text
        self.loadsSessions = capabilities["loadSession"] == true
        self.resumesSessions = Self.isOffered(capabilities["sessionCapabilities"]?["resume"])
        let parts = capabilities["promptCapabilities"] ?? [:]
        self.promptParts = ["text"]
        for (member, word) in [("image", "image"), ("audio", "audio"), ("embeddedContext", "embedded context")]
        where parts[member] == true { self.promptParts.append(word) }
        let transports = capabilities["mcpCapabilities"] ?? [:]
        self.mcpTransports = ["stdio"] + ["http", "sse"].filter { transports[$0] == true }
        self.authMethods = (initialize["authMethods"]?.elements ?? []).compactMap { $0["id"]?.text }
        self.handsOverSnapshots =
            capabilities["_meta"]?["turnpike"]?["blob"] == true || initialize["_meta"]?["turnpike"]?["blob"] == true
        let current = session["modes"]?["currentModeId"]?.text
        let modes = (session["modes"]?["availableModes"]?.elements ?? []).compactMap { $0["id"]?.text }
        self.modes = modes.filter { $0 == current } + modes.filter { $0 != current }
    }

    /// A capability is offered by an object, which may be empty, or by true.
    private static func isOffered(_ value: JSONValue?) -> Bool {
        switch value {
        case .object, .bool(true): true
        default: false
        }
    }

    /// As the API shows it.
    package var json: JSONValue {
        func list(_ words: [String]) -> JSONValue { .array(words.map { .string($0) }) }
        return [
            "protocol_version": .integer(self.protocolVersion),
            "name": self.name.map { .string($0) } ?? .null,
            "version": self.version.map { .string($0) } ?? .null,
            "loads_sessions": .bool(self.loadsSessions),
            "resumes_sessions": .bool(self.resumesSessions),
            "prompt_parts": list(self.promptParts),
            "mcp_transports": list(self.mcpTransports),
            "auth_methods": list(self.authMethods),
            "hands_over_snapshots": .bool(self.handsOverSnapshots),
            "modes": list(self.modes),
        ]
    }
}
