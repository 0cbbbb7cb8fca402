import Domain

/// The client's side of the Agent Client Protocol, version 1 (https://agentclientprotocol.com/protocol/overview):
/// JSON-RPC 2.0, one object a line. Declares neither file system nor terminal: agents use their own.
///
/// Turnpike's additions travel in `_meta.turnpike`, which the protocol reserves for such things, and each is optional
/// for an agent: state in with `session/new`, a snapshot out with the result of `session/prompt`.
struct ACPDriver: WorkerDriver {
    /// What holds whatever conversation the worker gets.
    struct Setup: Sendable {
        /// The implementation name and version that the agent is told.
        let client: String
        let clientVersion: String
        let lineBytes: Int
        let snapshotBytes: Int
        let usage: UsageMode
    }

    enum Phase: Sendable {
        /// `initialize` is on its way.
        case initializing(RequestID)
        /// Initialized, and without a conversation.
        case unassigned
        /// The request that opens the session is on its way.
        case openingSession(RequestID, Opening)
        /// Between two prompts.
        case idle
        /// A prompt is open.
        case prompting(RequestID, OpenPrompt)
        /// Nothing the agent says matters any more.
        case broken
    }

    struct OpenPrompt: Sendable {
        let wants: Snapshot.Kind?
        /// The turn is no longer wanted.
        var isCancelled = false
    }

    /// A question of the agent that has no answer yet.
    struct Waiting: Sendable {
        let id: RequestID
        let options: [PermissionOption]
    }

    /// So many lines in a row that are no messages are put down to a banner or a stray print; more are a program that
    /// does not speak the protocol.
    static let toleratedNoise = 10
    /// So many questions may wait at once; an agent that asks more is answered for.
    static let maximumQuestions = 100

    let setup: Setup
    var phase = Phase.broken
    var abilities = AgentAbilities()
    /// The conversation, until its session is open; it may hold a large state.
    var assignment: DriverAssignment?
    /// Ways to open the session that have not been tried.
    var openings: [Opening] = []
    var isRecalling = false
    var openSession: String?
    var context = WorkerContext.new
    /// What the agent has to be told with a prompt before it knows all; dropped once it has taken it.
    var seed: String?
    /// What the log has to say about the worker's context with its first turn.
    var contextReport: ContextReport?
    private var nextID: Int64 = 1
    var introduction: JSONValue = [:]
    var report: AgentReport?
    private var noiseInRow = 0
    /// Whether a delta would have something to stand on.
    var hasBase = false
    var meter: UsageMeter
    /// By the id under which the gateway knows the question.
    var waiting: [String: Waiting] = [:]
    /// Notes about calls that wait for their answer, by the id as JSON text.
    var notes: [String: RequestID] = [:]
    /// The turn's tools by their id, since an update names only what changed.
    var tools: [String: Tool] = [:]

    init(setup: Setup) {
        self.setup = setup
        self.meter = UsageMeter(mode: setup.usage)
    }

    var handsOverSnapshots: Bool { self.abilities.handsOverSnapshots }

    var session: String? { self.seed == nil ? self.openSession : nil }

    // MARK: What the gateway wants

    mutating func opened() -> [DriverAction] {
        let (id, action) = self.request(
            "initialize",
            [
                "protocolVersion": 1,
                "clientCapabilities": [
                    "fs": ["readTextFile": false, "writeTextFile": false], "terminal": false,
                    "_meta": ["turnpike": Self.extensions],
                ],
                "clientInfo": [
                    "name": .string(self.setup.client), "title": .string(self.setup.client),
                    "version": .string(self.setup.clientVersion),
                ],
                "_meta": ["turnpike": Self.extensions],
            ]
        )
        self.phase = .initializing(id)
        return [action]
    }

    /// Turnpike's additions to the protocol that this side knows.
    private static let extensions: JSONValue = [
        "version": 1, "blob": true, "turn": true, "park": true, "backend": true,
    ]

    mutating func prompt(_ prompt: DriverPrompt) -> [DriverAction] {
        guard case .idle = self.phase, let session = self.openSession else {
            return [.failed(.protocolError, "the worker is not ready for a prompt", sure: false)]
        }
        var parts = prompt.turn.input.parts
        if let problem = self.abilities.problem(with: parts) { return [.declined(.inputUnsupported, problem)] }
        if let seed = self.seed { parts.insert(["type": "text", "text": .string(seed)], at: 0) }
        let wants = self.handsOverSnapshots ? prompt.wants : nil
        var context: [String: JSONValue] = [
            "turn": .string(prompt.turn.id.text), "epoch": .integer(prompt.epoch),
            "attempt": .integer(Int64(prompt.turn.attempt)), "message_id": .string(prompt.turn.id.text),
        ]
        if let wants { context["wants"] = .string(wants.rawValue) }
        if let resumption = prompt.resumption {
            guard self.abilities.parksTurns else {
                return [.declined(.protocolError, "the turn was parked, but this worker cannot go on with one")]
            }
            context["resume"] = Self.json(resumption)
        }
        if let token = prompt.token { context["token"] = .string(token.text) }
        let (id, action) = self.request(
            "session/prompt",
            ["sessionId": .string(session), "prompt": .array(parts), "_meta": ["turnpike": .object(context)]]
        )
        self.tools = [:]
        self.notes = [:]
        self.meter.begin()
        self.phase = .prompting(id, OpenPrompt(wants: wants))
        defer { self.contextReport = nil }
        return (self.contextReport.map { [.event(.context($0))] } ?? []) + [action]
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
        guard case .prompting(let id, var prompt) = self.phase, let session = self.openSession else { return [] }
        prompt.isCancelled = true
        self.phase = .prompting(id, prompt)
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
        if output.count > self.setup.lineBytes, output.count - Self.snapshotSize(members) > self.setup.lineBytes {
            return self.fail(.outputLimit, "the worker wrote a line of \(output.count) bytes")
        }
        // An id that is null, or no id at all by the protocol, is still one that an agent waits for.
        let id = members["id"].map(RequestID.init)
        switch (members["method"]?.text, id) {
        case (let method?, let id?):
            self.noiseInRow = 0
            return self.requested(method, id, members["params"] ?? [:], bytes: output.count)
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
        case .initializing, .unassigned, .openingSession:
            self.phase = .broken
            return [.unready(message)]
        case .idle, .prompting, .broken:
            self.phase = .broken
            return [.broken(code, message)]
        }
    }

    private mutating func responded(_ id: RequestID, result: JSONValue?, error: JSONValue?) -> [DriverAction] {
        switch self.phase {
        case .initializing(let own) where id.answers(own):
            guard let result, error == nil else { return self.refusedToStart("initialize", error) }
            return self.initialized(result)
        case .openingSession(let own, let opening) where id.answers(own):
            guard let result, error == nil else { return self.refused(opening, error ?? .null) }
            return self.opened(opening, result)
        case .prompting(let own, let prompt) where id.answers(own):
            self.phase = .idle
            let dismissed = self.dismissQuestions()
            if let error { return dismissed + [.failed(Self.code(of: error), Self.describe(error), sure: true)] }
            return dismissed + self.prompted(result ?? .null, wants: prompt.wants)
        default:
            return [.odd(.unknownResponse)]
        }
    }

    // MARK: Messages

    mutating func request(_ method: String, _ params: JSONValue) -> (RequestID, DriverAction) {
        let id = self.nextID
        self.nextID += 1
        return (
            RequestID(.integer(id)), self.send(["id": .integer(id), "method": .string(method), "params": params])
        )
    }

    func send(_ message: [String: JSONValue]) -> DriverAction {
        .send(JSONWriter.line(.object(message.merging(["jsonrpc": "2.0"]) { _, new in new })))
    }

    func respond(_ id: RequestID, _ result: JSONValue) -> DriverAction {
        self.send(["id": id.json, "result": result])
    }

    func refuse(_ id: RequestID, _ code: Int64, _ message: String) -> DriverAction {
        self.send(["id": id.json, "error": ["code": .integer(code), "message": .string(message)]])
    }

    func cancelled(_ id: RequestID) -> DriverAction {
        self.respond(id, ["outcome": ["outcome": "cancelled"]])
    }

    private mutating func dismissQuestions() -> [DriverAction] {
        defer { self.waiting = [:] }
        return self.waiting.values.map { self.cancelled($0.id) }
    }

    /// What an error answer to a prompt means: `{"data": {"turnpike": "no_capacity"}}` says that somebody else may take it.
    private static func code(of error: JSONValue) -> FailureCode {
        error["data"]?["turnpike"]?.text == FailureCode.noCapacity.rawValue ? .noCapacity : .protocolError
    }

    /// A JSON-RPC error as one sentence: message, data and code.
    static func describe(_ error: JSONValue) -> String {
        let message = error["message"]?.text ?? "an error without a message"
        let code = error["code"]?.integer.map { " (code \($0))" } ?? ""
        let data = error["data"].map { $0 == .null ? "" : ": \(JSONWriter.text($0))" } ?? ""
        return String((message + data).prefix(2_000)) + code
    }
}

/// The id of a request: each side has a table of its own, and both may begin at 0. Ids are numbers or strings; whatever
/// else an agent makes one goes back to it as it came.
struct RequestID: Hashable, Sendable {
    let json: JSONValue

    init(_ json: JSONValue) {
        self.json = json
    }

    /// Whether a question may have it: the gateway keeps it while the question waits.
    var isProper: Bool {
        switch self.json {
        case .integer: true
        case .string(let id): id.utf8.count <= 256
        default: false
        }
    }

    /// Whether it is the id of our request `own`, in the agent's spelling: some turn numbers into strings or fractions.
    func answers(_ own: RequestID) -> Bool {
        switch (own.json, self.json) {
        case (.integer(let own), .integer(let id)): own == id
        case (.integer(let own), .number(let id)): Double(own) == id
        case (.integer(let own), .string(let id)): String(own) == id
        default: false
        }
    }
}
