import Domain

/// What a turn has produced so far, and how it ends: a value, so that every ending is a test without a process.
struct TurnRecord: Sendable {
    /// How a turn ended and what that says about the worker.
    struct Ending: Sendable {
        let outcome: Outcome
        let snapshot: SnapshotUpdate?
        /// The worker's state is what the conversation's state says, so it may take the next turn.
        let isSure: Bool
        /// The turn is not over but waits for people.
        var parking: Parking?
    }

    private let outputBytes: Int
    private let keepsSnapshots: Bool
    private(set) var text = ""
    private var counted = 0
    private var usage: JSONValue?
    /// Somebody asked for the end of the turn: whatever it ends with, it is cancelled.
    var isCancelled = false
    /// A question was waiting then. Some agents end the prompt at once and are still busy: the next prompt would get an
    /// answer that is none ("queued for the next turn").
    var wasAsking = false
    /// The workspace is archived when the turn has its answer.
    var isArchived = false

    /// `keepsSnapshots`: the worker's state is only what a snapshot says, so a turn that leaves none spoils it.
    /// `said` is the reply so far of a turn that was parked.
    init(outputBytes: Int, keepsSnapshots: Bool, said: String = "") {
        self.text = said
        self.counted = said.utf8.count
        self.outputBytes = outputBytes
        self.keepsSnapshots = keepsSnapshots
    }

    /// Takes an event into account. Returns false when it is one too many; it is not taken then.
    mutating func note(_ event: TurnEvent) -> Bool {
        switch event {
        case .delta(let text):
            guard self.count(text.utf8.count) else { return false }
            self.text += text
        case .thought(let text):
            return self.count(text.utf8.count)
        case .usage(let usage):
            self.usage = usage
        case .queued, .started, .context, .tool, .plan, .backend, .approvalRequested, .approvalResolved, .parked, .call,
            .waitingAccount, .accountMigrated, .retried, .ended:
            break
        }
        return true
    }

    /// Counts bytes against the turn's output. Returns false when they are too many.
    mutating func count(_ bytes: Int) -> Bool {
        guard bytes <= self.outputBytes - self.counted else { return false }
        self.counted += bytes
        return true
    }

    /// Whether the workspace as it is now becomes the conversation's state.
    func isToBeArchived(_ stop: DriverStop) -> Bool {
        self.isArchived && !self.isCancelled && stop.parking == nil && stop.stopReason != "refusal"
    }

    /// The ending when the worker says that it is done.
    func ending(_ stop: DriverStop) -> Ending {
        if self.isCancelled { return self.cancelled(isSure: true) }
        if var parking = stop.parking {
            parking.said = self.text
            var ending = self.failure(.protocolError, "the turn could not be parked", isSure: true)
            ending.parking = parking
            return ending
        }
        guard stop.stopReason != "refusal" else {
            let message = self.text.isEmpty ? FailureCode.refused.meaning : self.text
            return self.failure(.refused, message, isSure: true)
        }
        let snapshot: SnapshotUpdate?
        switch stop.snapshot {
        case .none: snapshot = nil
        case .update(let update): snapshot = update
        case .bad(let problem): return self.failure(.snapshotFailed, problem, isSure: false)
        case .tooLarge(let size):
            return self.failure(.snapshotTooLarge, "the worker's snapshot has \(size) bytes", isSure: false)
        }
        let reply = Reply(text: self.text, stopReason: stop.stopReason, usage: stop.usage ?? self.usage)
        return Ending(
            outcome: .completed(reply),
            snapshot: snapshot,
            isSure: snapshot != nil || !self.keepsSnapshots
        )
    }

    /// The ending without an answer.
    func failure(_ code: FailureCode, _ message: String, isSure: Bool) -> Ending {
        if self.isCancelled { return self.cancelled(isSure: isSure) }
        return Ending(
            outcome: .failed(code, message: message, partial: self.text),
            snapshot: nil,
            isSure: isSure && !self.keepsSnapshots
        )
    }

    /// The ending of a turn that the worker has not heard of: all it has said, it said before it was parked.
    func declined(_ code: FailureCode, _ message: String) -> Ending {
        let outcome: Outcome =
            self.isCancelled ? .cancelled(partial: self.text) : .failed(code, message: message, partial: self.text)
        return Ending(outcome: outcome, snapshot: nil, isSure: true)
    }

    private func cancelled(isSure: Bool) -> Ending {
        Ending(
            outcome: .cancelled(partial: self.text),
            snapshot: nil,
            isSure: isSure && !self.keepsSnapshots && !self.wasAsking
        )
    }
}
