import Crypto
import Domain

// From `initialize` to a session that knows what its conversation said: opened again where the agent can, with the
// state that earlier workers handed over, or new and told the transcript.

extension ACPDriver {
    /// A way to open the session.
    enum Opening: Sendable, Hashable {
        case new
        /// `session/resume`.
        case resume(AgentSession)
        /// `session/load`: the agent tells the session's history again, which is swallowed like everything else that
        /// belongs to no prompt.
        case load(AgentSession)

        var method: String {
            switch self {
            case .new: "session/new"
            case .resume: "session/resume"
            case .load: "session/load"
            }
        }

        var session: AgentSession? {
            switch self {
            case .new: nil
            case .resume(let session), .load(let session): session
            }
        }
    }

    /// The ways to open the session of `assignment`, best first. Handed over state is what the last settled turn left;
    /// an agent's own session may hold half a turn more.
    static func openings(_ assignment: DriverAssignment, _ abilities: AgentAbilities) -> [Opening] {
        guard assignment.chain.links.isEmpty, assignment.transcript != nil, let recalled = assignment.recalled else {
            return [.new]
        }
        return (abilities.resumesSessions ? [.resume(recalled)] : [])
            + (abilities.loadsSessions ? [.load(recalled)] : [])
            + [.new]
    }

    mutating func assigned(_ assignment: DriverAssignment) -> [DriverAction] {
        self.assignment = assignment
        switch self.phase {
        case .unassigned: return self.beginSession(assignment)
        case .broken: return [.unready("the worker is not ready for a conversation")]
        default: return []
        }
    }

    mutating func initialized(_ result: JSONValue) -> [DriverAction] {
        guard let version = result["protocolVersion"] else {
            return self.fail(.protocolError, "the worker named no protocol version")
        }
        guard version == 1 else {
            let named = JSONWriter.text(version)
            return self.fail(.protocolError, "the worker speaks protocol version \(named); only 1 is supported")
        }
        self.introduction = result
        self.abilities = AgentAbilities(result)
        self.phase = .unassigned
        guard let assignment = self.assignment else { return [.ready] }
        return self.beginSession(assignment)
    }

    private mutating func beginSession(_ assignment: DriverAssignment) -> [DriverAction] {
        if let problem = self.abilities.problem(with: assignment.servers) {
            return self.fail(.protocolError, problem)
        }
        guard assignment.chain.links.isEmpty || self.handsOverSnapshots else {
            return self.fail(.snapshotFailed, "the conversation has a snapshot, but the worker cannot take one")
        }
        self.hasBase = !assignment.chain.links.isEmpty
        self.openings = Self.openings(assignment, self.abilities)
        return self.tryNextOpening(assignment)
    }

    private mutating func tryNextOpening(_ assignment: DriverAssignment) -> [DriverAction] {
        let opening = self.openings.removeFirst()
        var params: [String: JSONValue] = [
            "cwd": .string(assignment.directory), "mcpServers": .array(assignment.servers.map(\.json)),
        ]
        if let session = opening.session { params["sessionId"] = .string(session.id) }
        if let first = assignment.chain.links.first {
            let deltas = assignment.chain.links.dropFirst().map { JSONValue.string(Base64.encode($0.body)) }
            params["_meta"] = [
                "turnpike": ["snapshot": ["base": .string(Base64.encode(first.body)), "deltas": .array(deltas)]]
            ]
        }
        let (id, action) = self.request(opening.method, .object(params))
        self.isRecalling = opening.session != nil
        self.phase = .openingSession(id, opening)
        return [action]
    }

    /// The agent has opened the session.
    mutating func opened(_ opening: Opening, _ result: JSONValue) -> [DriverAction] {
        guard let assignment = self.assignment else { return [] }
        guard let session = opening.session?.id ?? result["sessionId"]?.text else {
            return self.fail(.protocolError, "the worker opened a session without a sessionId")
        }
        self.isRecalling = false
        self.openSession = session
        self.report = AgentReport(initialize: self.introduction, session: result)
        self.settleContext(opening, assignment)
        self.assignment = nil
        self.phase = .idle
        return [.ready]
    }

    /// Decides what the session knows and what it has yet to be told.
    private mutating func settleContext(_ opening: Opening, _ assignment: DriverAssignment) {
        guard let transcript = assignment.transcript else {
            self.context = self.hasBase ? .snapshot : .new
            return
        }
        var told: [Transcript.Exchange] = []
        if let session = opening.session {
            self.context = .loaded
            // Turns that another replica performed meanwhile are not in the session.
            told = transcript.after(session.epoch)
            self.meter.inherit(transcript.usage)
        } else if self.hasBase {
            self.context = .snapshot
        } else {
            told = transcript.exchanges
            self.context = told.isEmpty ? .new : .seeded
        }
        // All that is left out is older than what is told; a session that lacks all of it may lack that, too.
        let isCut = self.hasBase ? false : transcript.isCut && told.count == transcript.exchanges.count
        self.seed = told.isEmpty ? nil : Self.seed(told, isCut: isCut)
        self.contextReport = ContextReport(context: self.context, turns: told.count, isCut: isCut)
    }

    /// One JSON object a line: nothing that was said can be taken for the end of what was said.
    private static func seed(_ exchanges: [Transcript.Exchange], isCut: Bool) -> String {
        let lines = exchanges.map { exchange in
            JSONWriter.text(["user": .string(exchange.input), "assistant": .string(exchange.reply)])
        }
        let heading = """
            This conversation began before this session. What was said then follows, oldest first, one JSON object for \
            each message of the user and your reply to it\(isCut ? "; what was said before that is left out" : "").
            """
        let ending = "That was the conversation so far. What follows now is the user's new message; reply to it alone."
        return ([heading] + lines + [ending, ""]).joined(separator: "\n")
    }

    /// The agent did not open the session in this way; perhaps it does in another.
    mutating func refused(_ opening: Opening, _ error: JSONValue) -> [DriverAction] {
        guard error["code"]?.integer != Self.needsLogin, !self.openings.isEmpty, let assignment = self.assignment else {
            return self.refusedToStart(opening.method, error)
        }
        return [.odd(.sessionLost)] + self.tryNextOpening(assignment)
    }

    /// The protocol's "authentication required".
    private static let needsLogin: Int64 = -32000

    mutating func refusedToStart(_ method: String, _ error: JSONValue?) -> [DriverAction] {
        self.isRecalling = false
        let description = Self.describe(error ?? .null)
        guard error?["code"]?.integer == Self.needsLogin else {
            return self.fail(.protocolError, "the worker refused \(method): \(description)")
        }
        let logins = self.abilities.logins.joined(separator: ", ")
        let offer = logins.isEmpty ? "" : "; it offers these ways to log in: \(logins)"
        return self.fail(.protocolError, "the worker needs authentication for \(method): \(description)\(offer)")
    }
}
