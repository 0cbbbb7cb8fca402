import Domain

/// What an agent says of itself in the result of `initialize`. What it does not say, it cannot do.
struct AgentAbilities: Sendable, Hashable {
    /// `session/load`: opens an earlier session and tells it again.
    let loadsSessions: Bool
    /// `session/resume`: opens an earlier session without telling it.
    let resumesSessions: Bool
    /// It gives its state away and takes it back.
    let handsOverSnapshots: Bool
    /// It can leave a turn that waits for people and go on with it elsewhere.
    let parksTurns: Bool
    /// Transports of tool servers.
    let transports: Set<MCPServer.Transport>
    /// Types of content parts.
    let parts: Set<String>
    /// Ways to log in, for people.
    let logins: [String]

    /// What every agent takes: text, and links that it may follow.
    private static let plainParts: Set<String> = ["text", "resource_link"]

    /// Of an agent that has said nothing.
    init() {
        self.init(.null)
    }

    init(_ result: JSONValue) {
        let report = AgentReport(initialize: result, session: .null)
        self.loadsSessions = report.loadsSessions
        self.resumesSessions = report.resumesSessions
        self.handsOverSnapshots = report.handsOverSnapshots
        self.parksTurns = [result, result["agentCapabilities"]].contains { $0?["_meta"]?["turnpike"]?["park"] == true }
        self.transports = Set(report.mcpTransports.compactMap(MCPServer.Transport.init(rawValue:)))
        let prompt = result["agentCapabilities"]?["promptCapabilities"]
        let more = [("image", "image"), ("audio", "audio"), ("embeddedContext", "resource")]
        self.parts = Self.plainParts.union(more.filter { prompt?[$0.0] == true }.map(\.1))
        self.logins = (result["authMethods"]?.elements ?? []).prefix(20).compactMap { method in
            guard let id = method["id"]?.text else { return nil }
            guard let name = method["name"]?.text, name != id else { return String(id.prefix(100)) }
            return "\(id.prefix(100)) (\(name.prefix(100)))"
        }
    }

    /// Why the agent cannot be sent `parts`; nil when it can.
    func problem(with parts: [JSONValue]) -> String? {
        for (index, part) in parts.enumerated() {
            guard let type = part["type"]?.text else { return "part \(index) of the input has no type" }
            guard self.parts.contains(type) else {
                let taken = self.parts.sorted().joined(separator: ", ")
                return "the agent takes no part of type \(type.prefix(100)) (part \(index)); it takes \(taken)"
            }
            guard let lacking = Self.members[type]?.first(where: { part[$0] == nil }) else { continue }
            return "part \(index) of the input, of type \(type), has no \(lacking)"
        }
        return nil
    }

    /// What a part must have, by its type.
    private static let members = [
        "text": ["text"], "image": ["data", "mimeType"], "audio": ["data", "mimeType"],
        "resource_link": ["name", "uri"], "resource": ["resource"],
    ]

    /// Why the agent cannot be told to connect to `servers`; nil when it can.
    func problem(with servers: [MCPServer]) -> String? {
        guard let server = servers.first(where: { !self.transports.contains($0.transport) }) else { return nil }
        return "the agent cannot reach the MCP server \(server.name): it does not support \(server.transport.rawValue)"
    }
}
