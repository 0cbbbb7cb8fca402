import Domain
import TestKit

/// What the tests say to a gateway.
struct Client: Sendable {
    /// An answer that was not the expected one.
    struct Unexpected: Error, CustomStringConvertible {
        let description: String
    }

    let http: HTTPClient

    /// Creates or replaces an agent; `more` are further members as JSON text, beginning with a comma.
    func put(_ agent: String, _ command: [String], more: String = "") async throws {
        let words = command.map { "\"\($0)\"" }.joined(separator: ",")
        let answer = try await self.http.send("PUT", "/v1/agents/\(agent)", #"{"command":[\#(words)]\#(more)}"#)
        guard (200...201).contains(answer.status) else { throw Unexpected(description: answer.text) }
    }

    /// An agent whose turns last as long as their text says; see `paced_agent.py`.
    func putPaced(_ agent: String = "paced", more: String = "") async throws {
        try await self.put(agent, ["/usr/bin/python3", "-S", Places.worker("paced_agent.py")], more: more)
    }

    /// Configures `parker`, which parks its turns and puts its effects into the file `effects`.
    func putParker(_ effects: String, more: String = "") async throws {
        let command = Places.double("parking_double.py", "parking", effects)
        try await self.put("parker", command, more: #","permissions":"ask""# + more)
    }

    /// The path of a conversation's `part`.
    static func path(_ agent: String, _ conversation: String, _ part: String) -> String {
        "/v1/agents/\(agent)/conversations/\(conversation)/\(part)"
    }

    /// Submits a turn and returns its identity.
    func submit(_ agent: String, _ conversation: String, _ text: String, key: String? = nil) async throws -> String {
        let answer = try await self.http.send(
            "POST",
            Self.path(agent, conversation, "turns"),
            #"{"input":"\#(text)"}"#,
            headers: key.map { ["Idempotency-Key": $0] } ?? [:]
        )
        guard (200...202).contains(answer.status), let id = try answer.json()["turn"]?["id"]?.text else {
            throw Unexpected(description: "\(answer.status) \(answer.text)")
        }
        return id
    }

    /// The turn as it is now, or once it has its outcome.
    func turn(_ id: String, wait: Int = 0) async throws -> JSONValue {
        let answer = try await self.http.send("GET", "/v1/turns/\(id)?wait=\(wait)")
        guard answer.status == 200, let turn = try answer.json()["turn"] else {
            throw Unexpected(description: "\(answer.status) \(answer.text)")
        }
        return turn
    }

    /// The outcome of a turn, waited for.
    func outcome(_ id: String, within limit: Duration = .seconds(60)) async throws -> TurnOutcome {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            let turn = try await self.turn(id, wait: 10)
            guard let outcome = turn["outcome"], outcome != .null else { continue }
            return TurnOutcome(
                state: outcome["state"]?.text ?? "",
                code: outcome["code"]?.text,
                message: outcome["message"]?.text ?? "",
                reply: outcome["reply"]?.text ?? ""
            )
        }
        throw Unexpected(description: "turn \(id) has no outcome within \(limit): \(try await self.turn(id))")
    }

    /// Submits a turn and waits for its reply; throws when it has none.
    func reply(_ agent: String, _ conversation: String, _ text: String) async throws -> String {
        let outcome = try await self.outcome(try await self.submit(agent, conversation, text))
        guard outcome.state == "completed" else { throw Unexpected(description: "\(outcome)") }
        return outcome.reply
    }
}

/// How a turn ended.
struct TurnOutcome: Sendable {
    let state: String
    let code: String?
    let message: String
    let reply: String

    /// The list that the reply ends with, for the agents that append to one.
    var list: [String] { ReplyList.items(self.reply) }
}

/// The list at the end of a reply.
enum ReplyList {
    static func items(_ reply: String) -> [String] {
        guard let start = reply.lastIndex(of: "[") else { return [] }
        return reply[start...].split(separator: "\"").filter { $0 != ", " && $0 != "[" && $0 != "]" }.map(String.init)
    }
}
