import Domain

/// The client's side of the Agent Client Protocol, version 1 (https://agentclientprotocol.com/protocol/overview):
/// JSON-RPC 2.0, one object a line. Declares neither file system nor terminal: agents use their own.
///
/// Turnpike's additions travel in `_meta.turnpike`, which the protocol reserves for such things, and each is optional
/// for an agent: state in with `session/new`, a snapshot out with the result of `session/prompt`.
struct ACPDriver: WorkerDriver {
    /// What an agent does not need to be asked for.
    struct Setup: Sendable {
        /// Absolute; the session's working directory.
        let directory: String
        /// The state to start from; forgotten once the agent has been told, because it may be large.
        var chain: [Snapshot]
        /// The implementation name and version that the agent is told.
        let client: String
        let clientVersion: String
        let lineBytes: Int
        let snapshotBytes: Int
        /// Whether it stops before the session, which is opened by `bind`: the worker has no conversation yet.
        var isSpare = false
    }

    /// The id of a request: each side has a table of its own, and both may begin at 0.
    enum RequestID: Hashable, Sendable {
        case number(Int64)
        case string(String)

        init?(_ value: JSONValue?) {
            switch value {
            case .integer(let number): self = .number(number)
            case .string(let text): self = .string(text)
            default: return nil
            }
        }

        var json: JSONValue {
            switch self {
            case .number(let number): .integer(number)
            case .string(let text): .string(text)
            }
        }
    }

    enum Phase: Sendable {
        /// `initialize` is on its way.
        case initializing(RequestID)
        /// Initialized, and waiting for a conversation.
        case spare
        /// `session/new` is on its way.
        case openingSession(RequestID)
        /// Between two prompts.
        case idle
        /// A prompt is open.
        case prompting(RequestID, wants: Snapshot.Kind?)
        /// Nothing the agent says matters any more.
        case broken
    }

    /// A question of the agent that has no answer yet.
    struct Waiting: Sendable {
        let id: RequestID
        let options: [PermissionOption]
    }

    /// So many lines in a row that are no messages are put down to a banner or a stray print; more are a program that
    /// does not speak the protocol.
    static let toleratedNoise = 10

    private(set) var setup: Setup
    var phase = Phase.broken
    var session: String?
    private var nextID: Int64 = 1
    private(set) var handsOverSnapshots = false
    private var introduction: JSONValue = [:]
    private(set) var report: AgentReport?
    private var noiseInRow = 0
    /// Whether a delta would have something to stand on.
    var hasBase: Bool
    /// By the id under which the gateway knows the question.
    var waiting: [String: Waiting] = [:]
    /// The turn's tools by their id, since an update names only what changed.
    var tools: [String: ToolActivity] = [:]

    init(setup: Setup) {
        self.setup = setup
        self.hasBase = !setup.chain.isEmpty
    }

    // MARK: What the gateway wants

    mutating func opened() -> [DriverAction] {
        let (id, action) = self.request(
            "initialize",
            [
                "protocolVersion": 1,
                "clientCapabilities": [
                    "fs": ["readTextFile": false, "writeTextFile": false], "terminal": false,
                    "_meta": ["turnpike": ["version": 1, "blob": true]],
                ],
                "clientInfo": [
                    "name": .string(self.setup.client), "title": .string(self.setup.client),
                    "version": .string(self.setup.clientVersion),
                ],
                "_meta": ["turnpike": ["version": 1, "blob": true]],
            ]
        )
        self.phase = .initializing(id)
        return [action]
    }

    mutating func prompt(_ prompt: DriverPrompt) -> [DriverAction] {
        guard case .idle = self.phase, let session = self.session else {
            return [.failed(.protocolError, "the worker is not ready for a prompt", sure: false)]
        }
        let wants = self.handsOverSnapshots ? prompt.wants : nil
        var context: [String: JSONValue] = [
            "turn": .string(prompt.turn.id.text), "epoch": .integer(prompt.epoch),
            "attempt": .integer(Int64(prompt.turn.attempt)), "message_id": .string(prompt.turn.id.text),
        ]
        if let wants { context["wants"] = .string(wants.rawValue) }
        let (id, action) = self.request(
            "session/prompt",
            [
                "sessionId": .string(session), "prompt": .array(prompt.turn.input.parts),
                "_meta": ["turnpike": .object(context)],
            ]
        )
        self.tools = [:]
        self.phase = .prompting(id, wants: wants)
        return [action]
    }

    mutating func answered(_ question: String, _ answer: PermissionAnswer) -> [DriverAction] {
        guard let waiting = self.waiting.removeValue(forKey: question) else { return [] }
        guard case .select(let option) = answer, waiting.options.contains(where: { $0.id == option }) else {
            return [self.cancelled(waiting.id)]
        }
        return [self.respond(waiting.id, ["outcome": ["outcome": "selected", "optionId": .string(option)]])]
    }

    /// Answers every waiting question first: several agents do not look at the notification before they have it.
    mutating func cancel() -> [DriverAction] {
        guard case .prompting = self.phase, let session = self.session else { return [] }
        return self.dismissQuestions()
            + [self.send(["method": "session/cancel", "params": ["sessionId": .string(session)]])]
    }

    /// Whatever the status: a prompt that is open when the process ends has no answer.
    mutating func ended(_ status: WorkerStatus) -> [DriverAction]? {
        self.phase = .broken
        return nil
    }

    // MARK: What the agent says

    mutating func received(_ output: [UInt8]) -> [DriverAction] {
        if case .broken = self.phase { return [] }
        guard !output.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) else { return [] }
        guard let message = try? JSONReader.read(output), case .object(let members) = message else {
            return self.noise()
        }
        let id = RequestID(members["id"])
        if output.count > self.setup.lineBytes, output.count - Self.snapshotSize(members) > self.setup.lineBytes {
            return self.fail(.outputLimit, "the worker wrote a line of \(output.count) bytes")
        }
        switch (members["method"]?.text, id) {
        case (let method?, let id?):
            self.noiseInRow = 0
            return self.requested(method, id, members["params"] ?? [:])
        case (let method?, nil):
            self.noiseInRow = 0
            guard method == "session/update" else { return [] }
            return self.updated(members["params"] ?? [:], bytes: output.count)
        case (nil, let id?) where members["result"] != nil || members["error"] != nil:
            self.noiseInRow = 0
            return self.responded(id, result: members["result"], error: members["error"])
        default:
            return self.noise()
        }
    }

    private mutating func noise() -> [DriverAction] {
        self.noiseInRow += 1
        guard self.noiseInRow <= Self.toleratedNoise else {
            let message = "the worker wrote \(self.noiseInRow) lines in a row that are no protocol messages"
            return [.odd(.noise)] + self.fail(.protocolError, message)
        }
        return [.odd(.noise)]
    }

    mutating func fail(_ code: FailureCode, _ message: String) -> [DriverAction] {
        switch self.phase {
        case .initializing, .spare, .openingSession:
            self.phase = .broken
            return [.unready(message)]
        case .idle, .prompting, .broken:
            self.phase = .broken
            return [.broken(code, message)]
        }
    }

    private mutating func responded(_ id: RequestID, result: JSONValue?, error: JSONValue?) -> [DriverAction] {
        switch self.phase {
        case .initializing(id):
            guard let result, error == nil else { return self.refusedToStart("initialize", error) }
            return self.initialized(result)
        case .openingSession(id):
            guard let result, error == nil else { return self.refusedToStart("session/new", error) }
            guard let session = result["sessionId"]?.text else {
                return self.fail(.protocolError, "the worker opened a session without a sessionId")
            }
            self.session = session
            self.report = AgentReport(initialize: self.introduction, session: result)
            self.phase = .idle
            return [.ready]
        case .prompting(id, let wants):
            self.phase = .idle
            let dismissed = self.dismissQuestions()
            if let error { return dismissed + [.failed(.protocolError, Self.describe(error), sure: true)] }
            return dismissed + self.prompted(result ?? .null, wants: wants)
        default:
            return [.odd(.unknownResponse)]
        }
    }

    /// -32000 is the protocol's "authentication required".
    private mutating func refusedToStart(_ method: String, _ error: JSONValue?) -> [DriverAction] {
        let description = Self.describe(error ?? .null)
        guard error?["code"]?.integer == -32000 else {
            return self.fail(.protocolError, "the worker refused \(method): \(description)")
        }
        return self.fail(.protocolError, "the worker needs authentication (-32000) for \(method): \(description)")
    }

    private mutating func initialized(_ result: JSONValue) -> [DriverAction] {
        guard let version = result["protocolVersion"] else {
            return self.fail(.protocolError, "the worker named no protocol version")
        }
        guard version == 1 else {
            let named = JSONWriter.text(version)
            return self.fail(.protocolError, "the worker speaks protocol version \(named); only 1 is supported")
        }
        self.introduction = result
        self.handsOverSnapshots =
            result["agentCapabilities"]?["_meta"]?["turnpike"]?["blob"] == true
            || result["_meta"]?["turnpike"]?["blob"] == true
        guard !self.setup.isSpare else {
            self.phase = .spare
            return [.ready]
        }
        return self.openSession()
    }

    mutating func bind() -> [DriverAction] {
        guard case .spare = self.phase else { return [.unready("the worker is not ready for a conversation")] }
        return self.openSession()
    }

    private mutating func openSession() -> [DriverAction] {
        var params: [String: JSONValue] = ["cwd": .string(self.setup.directory), "mcpServers": []]
        if let first = self.setup.chain.first {
            guard self.handsOverSnapshots else {
                return self.fail(.snapshotFailed, "the conversation has a snapshot, but the worker cannot take one")
            }
            let deltas = self.setup.chain.dropFirst().map { JSONValue.string(Base64.encode($0.body)) }
            params["_meta"] = [
                "turnpike": ["snapshot": ["base": .string(Base64.encode(first.body)), "deltas": .array(deltas)]]
            ]
            self.setup.chain = []
        }
        let (id, action) = self.request("session/new", .object(params))
        self.phase = .openingSession(id)
        return [action]
    }

    // MARK: Messages

    private mutating func request(_ method: String, _ params: JSONValue) -> (RequestID, DriverAction) {
        let id = self.nextID
        self.nextID += 1
        return (.number(id), self.send(["id": .integer(id), "method": .string(method), "params": params]))
    }

    func send(_ message: [String: JSONValue]) -> DriverAction {
        .send(JSONWriter.line(.object(message.merging(["jsonrpc": "2.0"]) { _, new in new })))
    }

    func respond(_ id: RequestID, _ result: JSONValue) -> DriverAction {
        self.send(["id": id.json, "result": result])
    }

    func cancelled(_ id: RequestID) -> DriverAction {
        self.respond(id, ["outcome": ["outcome": "cancelled"]])
    }

    private mutating func dismissQuestions() -> [DriverAction] {
        defer { self.waiting = [:] }
        return self.waiting.values.map { self.cancelled($0.id) }
    }

    /// A JSON-RPC error as one sentence: message, data and code.
    private static func describe(_ error: JSONValue) -> String {
        let message = error["message"]?.text ?? "an error without a message"
        let code = error["code"]?.integer.map { " (code \($0))" } ?? ""
        let data = error["data"].map { $0 == .null ? "" : ": \(JSONWriter.text($0))" } ?? ""
        return String((message + data).prefix(2_000)) + code
    }
}
