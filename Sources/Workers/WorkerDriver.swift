import Domain

/// A protocol that workers speak, as values: start, prompt → events…, idle(stop reason).
///
/// A driver never does anything: it is told what happened and returns what to do, in order. It is the same shape for
/// one process that takes many prompts and for one process a prompt, for a prompt that is answered when the turn ends
/// and for one that is acknowledged at once.
protocol WorkerDriver: Sendable {
    /// Whether the worker can give its state away and take it back.
    var handsOverSnapshots: Bool { get }

    /// What the worker said of itself while it started; nil when its protocol has no word for that.
    var report: AgentReport? { get }

    /// The agent's own session that the worker serves its conversation in, once it knows all that it has to: a later
    /// worker may open it again. Nil without one.
    var session: String? { get }

    /// Whether the worker is opening an earlier session: if it ends over that, the session is not to be tried again.
    var isRecalling: Bool { get }

    /// How the worker came by what was said before it started; final once it is ready.
    var context: WorkerContext { get }

    /// The process runs.
    mutating func opened() -> [DriverAction]

    /// The worker has its conversation, from now on and once. One that was ready without gets ready again.
    mutating func assigned(_ assignment: DriverAssignment) -> [DriverAction]

    /// The process wrote one line, without its newline, or some bytes.
    mutating func received(_ output: [UInt8]) -> [DriverAction]

    /// The worker is to perform a turn. Never called before `ready` or while a turn runs.
    mutating func prompt(_ prompt: DriverPrompt) -> [DriverAction]

    /// A question that was asked has its answer. An answer to a question that no longer waits is ignored.
    mutating func answered(_ question: String, _ answer: PermissionAnswer) -> [DriverAction]

    /// A note about a call has its answer.
    mutating func noted(_ note: String, _ verdict: CallVerdict) -> [DriverAction]

    /// The turn that runs is no longer wanted.
    mutating func cancel() -> [DriverAction]

    /// The process ended with `status` while a turn ran. What the turn makes of it; nil when the turn has failed by it.
    mutating func ended(_ status: WorkerStatus) -> [DriverAction]?
}

/// The conversation that a worker gets, and all that it may need to go on with it.
struct DriverAssignment: Sendable {
    /// Absolute; where the worker works.
    let directory: String
    /// The state that earlier workers handed over; empty without any.
    let chain: SnapshotChain
    /// The session of the conversation's worker before, where it is known.
    let recalled: AgentSession?
    /// What was said; nil when nothing was.
    let transcript: Transcript?
    /// Tool servers to connect to.
    let servers: [MCPServer]
}

/// What a driver needs to put a turn to a worker.
struct DriverPrompt: Sendable {
    let turn: ArmedTurn
    let epoch: Int64
    /// The snapshot that is wanted with the reply; nil when the turn may write none.
    let wants: Snapshot.Kind?
    /// What a parked turn goes on with.
    var resumption: Resumption?
    /// What the worker may ask a model with, within this turn; nil without a model.
    var token: WorkerToken?
}

/// What the owner of a driver has to do, in the order given.
enum DriverAction: Sendable {
    /// Write these bytes to the process.
    case send([UInt8])
    /// Close the process's input after what was sent.
    case closeInput
    /// Ask the process to end by signal, since its protocol has no word for it.
    case interrupt
    /// The worker can take prompts; a spare one can be given a conversation.
    case ready
    /// The worker cannot take prompts, and why. It is of no more use.
    case unready(String)
    /// Something for the turn's log.
    case event(TurnEvent)
    /// Bytes of the turn that are in no event's text but count against its output.
    case counted(Int)
    /// A question that waits for `answered`.
    case ask(PermissionQuestion)
    /// A note about a call that waits for `noted` under this name.
    case note(String, CallNote)
    /// The turn is over.
    case idle(DriverStop)
    /// The turn is over and the worker has not heard of it.
    case declined(FailureCode, String)
    /// The turn is over without an answer. `sure`: the worker said so itself and takes the next prompt.
    case failed(FailureCode, String, sure: Bool)
    /// The worker broke its protocol and is of no more use, turn or no turn.
    case broken(FailureCode, String)
    /// Something that is tolerated, but that an operator may want to see.
    case odd(DriverOddity)
}

/// What is tolerated from a worker and counted.
enum DriverOddity: String, Sendable, CaseIterable {
    /// Part of a reply that is no text.
    case contentDropped = "content_dropped"
    /// A line that is no message of the protocol.
    case noise
    /// An earlier session that the agent did not open again.
    case sessionLost = "session_lost"
    /// A snapshot that the worker had no right to give.
    case snapshotDropped = "snapshot_dropped"
    /// A request that no gateway answers.
    case unknownRequest = "unknown_request"
    /// An answer to nothing that was asked.
    case unknownResponse = "unknown_response"
}

/// How a worker says that it is done.
struct DriverStop: Sendable {
    let stopReason: String
    let usage: JSONValue?
    var snapshot: OfferedSnapshot
    /// The turn is not over: it waits for people, and the worker is of no more use to it.
    var parking: Parking?
}

/// What a worker gave, or should have given, along with its reply.
enum OfferedSnapshot: Sendable, Hashable {
    /// None was wanted.
    case none
    case update(SnapshotUpdate)
    /// Not what was agreed on: missing, or not to be read.
    case bad(String)
    /// Over the agent's limit; its size in bytes.
    case tooLarge(Int)
}
