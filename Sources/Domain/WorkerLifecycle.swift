/// The life of one worker as values: events go in, actions come out, and nothing is done here.
///
/// A fresh value is a worker whose process has just been asked for.
package struct WorkerLifecycle: Sendable, Hashable {
    /// Where a worker stands.
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// Asked for, not yet ready. Can become: spare, stopping, exited.
        case starting
        /// Ready and without a conversation. Can become: bound, stopping, exited.
        case spare
        /// Given to a conversation, no turn yet. Can become: running, stopping, exited.
        case bound
        /// Performing a turn. Can become: idle, stopping, exited.
        case running
        /// Between two turns. Can become: running, stopping, exited.
        case idle
        /// Told to go, politely or not. Can become: exited.
        case stopping
        /// Gone. Stays.
        case exited
    }

    /// What happened to a worker.
    package enum Event: Sendable, Hashable, CaseIterable {
        /// It answered that it can take turns.
        case ready
        /// It was given to a conversation.
        case bound
        /// It was given a turn.
        case turnGiven
        /// The turn ended and the worker's state is known.
        case turnEnded
        /// The turn ended in a way that leaves the worker's state unsure.
        case turnSpoilt
        /// Somebody wants it to go in an orderly way.
        case stopRequested
        /// It has to go at once: it broke its protocol, or its conversation is no longer ours.
        case killRequested
        /// The time of the state it is in is over: to start, to perform a turn, to stop.
        case deadlinePassed
        /// Its process is gone.
        case exited
    }

    /// What the owner of the machine has to do, in this order.
    package enum Action: Sendable, Hashable {
        /// Tell the starter that there will be no worker.
        case failStart
        /// End the turn as failed.
        case failTurn
        /// The protocol's own end, then SIGTERM, then SIGKILL.
        case stop
        /// SIGKILL to the whole tree.
        case kill
        /// Tell whoever asked that it is gone; `intended` when it had been told to go.
        case reportExit(intended: Bool)
    }

    /// An event that cannot happen in the state the worker is in.
    package struct IllegalEvent: Error, Hashable, Sendable, CustomStringConvertible {
        /// What happened.
        package let event: Event
        /// Where it stands.
        package let state: State

        package var description: String { "a worker that is \(self.state) cannot take the event \(self.event)" }
    }

    /// Where it stands.
    package private(set) var state = State.starting

    package init() {}

    /// Whether it can be given a turn.
    package var takesTurns: Bool {
        switch self.state {
        case .bound, .idle: true
        case .starting, .spare, .running, .stopping, .exited: false
        }
    }

    /// Moves on by `event` and says what to do. An illegal event changes nothing.
    package mutating func apply(_ event: Event) throws(IllegalEvent) -> [Action] {
        guard let (next, actions) = Self.step(self.state, event) else {
            throw IllegalEvent(event: event, state: self.state)
        }
        self.state = next
        return actions
    }

    /// The whole table; nil for what cannot happen.
    private static func step(_ state: State, _ event: Event) -> (State, [Action])? {
        switch (state, event) {
        case (.starting, .ready): (.spare, [])
        case (.starting, .stopRequested): (.stopping, [.failStart, .stop])
        case (.starting, .killRequested), (.starting, .deadlinePassed): (.stopping, [.failStart, .kill])
        case (.starting, .exited): (.exited, [.failStart, .reportExit(intended: false)])

        case (.spare, .bound): (.bound, [])
        case (.bound, .turnGiven), (.idle, .turnGiven): (.running, [])
        case (.spare, .stopRequested), (.bound, .stopRequested), (.idle, .stopRequested): (.stopping, [.stop])
        case (.spare, .killRequested), (.bound, .killRequested), (.idle, .killRequested): (.stopping, [.kill])
        case (.spare, .exited), (.bound, .exited), (.idle, .exited): (.exited, [.reportExit(intended: false)])

        case (.running, .turnEnded): (.idle, [])
        case (.running, .turnSpoilt): (.stopping, [.kill])
        case (.running, .stopRequested): (.stopping, [.failTurn, .stop])
        case (.running, .killRequested), (.running, .deadlinePassed): (.stopping, [.failTurn, .kill])
        case (.running, .exited): (.exited, [.failTurn, .reportExit(intended: false)])

        case (.stopping, .stopRequested): (.stopping, [])
        case (.stopping, .killRequested), (.stopping, .deadlinePassed): (.stopping, [.kill])
        case (.stopping, .exited): (.exited, [.reportExit(intended: true)])

        case (.exited, .stopRequested), (.exited, .killRequested): (.exited, [])

        default: nil
        }
    }
}

/// Whether a worker that nobody has used for a while keeps its place.
package enum IdleReap: Sendable, Hashable {
    /// Stop it.
    case stop
    /// Keep it and look again after this long.
    case keep(lookAgainAfter: Duration)

    /// Decides for a worker in `state` whose last turn ended `idle` ago. Only a worker between two turns is ever
    /// stopped; the others are looked at again after a whole `limit`.
    package static func decide(state: WorkerLifecycle.State, idle: Duration, limit: Duration) -> IdleReap {
        switch state {
        case .bound, .idle, .spare: idle >= limit ? .stop : .keep(lookAgainAfter: limit - idle)
        case .starting, .running, .stopping, .exited: .keep(lookAgainAfter: limit)
        }
    }
}

/// How a worker's process ended.
package enum WorkerStatus: Sendable, Hashable, CustomStringConvertible {
    /// By itself, with this status.
    case exited(Int32)
    /// By this signal.
    case signalled(Int32)

    package var description: String {
        switch self {
        case .exited(let status): "exited with status \(status)"
        case .signalled(let signal): "was killed by signal \(signal)"
        }
    }
}
