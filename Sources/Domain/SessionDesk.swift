/// Why a session ends.
package enum SessionEnding: String, Sendable, Hashable {
    /// No turn came for the agent's idle time.
    case idle
    /// The worker's place is wanted by another conversation.
    case evicted
    /// The agent's configuration changed.
    case reconfigured
    /// Its worker was too old or held too much memory.
    case recycled
    /// The worker's process ended between turns.
    case workerExited = "worker_exited"
    /// The replica is leaving.
    case draining
    /// Another holder, a sweep or a deletion fenced this one off.
    case fenced
    /// The lock was lost and not regained in time.
    case lockLost = "lock_lost"
    /// A direct turn has had its one run.
    case finished
    /// Its turn waits for people without a worker.
    case parked
}

/// The desk over which turns reach a session: who may hand one over, and what the session does next.
///
/// Intake, hints, polls, idle timers and the worker's exit all talk to one session at once; this machine orders them.
/// It holds no turn longer than the step it returns, so nothing can be forgotten in it.
package struct SessionDesk: Sendable, Hashable {
    /// Where the session stands.
    package enum State: Sendable, Hashable {
        /// Starting its worker or performing a turn. Exits: `idle`, `ended` (both by `ready`).
        case busy
        /// Waiting for work. Exits: `reserved` (an intake hands a turn over), `busy` (it was told to look or was given
        /// a turn), `ended` (told to stop).
        case idle
        /// An intake is committing a turn for this session; it must stay alive until that is decided.
        /// Exits: `busy`, `idle`, `ended` (all by `decide`).
        case reserved
        /// Takes nothing more.
        case ended
    }

    /// What the session does next.
    package enum Step: Sendable, Hashable {
        /// Perform this turn; its marker is armed.
        case perform(ArmedTurn)
        /// Ask the database for the next queued turn.
        case look
        /// End the session.
        case end(SessionEnding)
    }

    /// Where it stands.
    package private(set) var state = State.busy
    private var mustLook = false
    private var ending: SessionEnding?

    package init() {}

    /// Whether the session is to end once it has nothing in hand.
    package var isEnding: Bool { self.ending != nil || self.state == .ended }

    /// The session has nothing in hand. Returns its next step, or nil: it waits.
    package mutating func ready() -> Step? {
        guard self.state == .busy else { return nil }
        self.state = .idle
        return self.nextStep()
    }

    /// An intake wants to hand a turn over. True reserves the session until `decide`; false means that a turn enqueued
    /// now will be found without help: the session looks before it waits.
    package mutating func reserve() -> Bool {
        switch self.state {
        case .idle:
            self.state = .reserved
            return true
        case .busy, .reserved:
            self.mustLook = true
            return false
        case .ended:
            return false
        }
    }

    /// The reserving intake knows what came of it: a turn, or nothing.
    package mutating func decide(_ turn: ArmedTurn?) -> Step? {
        guard self.state == .reserved else { return nil }
        if let turn {
            self.state = .busy
            return .perform(turn)
        }
        self.state = .idle
        return self.nextStep()
    }

    /// A turn may be waiting in the queue.
    package mutating func wake() -> Step? {
        guard self.state != .ended else { return nil }
        self.mustLook = true
        return self.state == .idle ? self.nextStep() : nil
    }

    /// The session should end once it has nothing in hand. The first reason stays.
    package mutating func end(_ reason: SessionEnding) -> Step? {
        guard self.state != .ended else { return nil }
        self.ending = self.ending ?? reason
        return self.state == .idle ? self.nextStep() : nil
    }

    /// Nothing more can be handed over, whatever the state: the session is being taken down.
    package mutating func close() {
        self.state = .ended
    }

    private mutating func nextStep() -> Step? {
        if let ending = self.ending {
            self.state = .ended
            return .end(ending)
        }
        if self.mustLook {
            self.mustLook = false
            self.state = .busy
            return .look
        }
        return nil
    }
}
