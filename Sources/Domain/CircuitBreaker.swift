/// Keeps an agent whose workers do not come up, or end as soon as they are up, from being started over and over: a value,
/// one for each agent on each replica.
///
/// Closed, every start may go ahead. `Limits.breakerFailures` failures in a row open it: starts wait for a delay that
/// doubles with each further failure. When the delay is over it is half open: one start goes ahead as a probe, and the
/// others wait for what becomes of it. A start that succeeds closes it on probation, where the next failure opens it at
/// once; a turn that leaves its worker usable clears everything.
package struct CircuitBreaker: Sendable, Hashable {
    private let threshold: Int
    private let first: Duration
    private let longest: Duration
    /// Failures since a worker last proved itself.
    package private(set) var failures = 0
    /// What failed last, as a sentence; nil when nothing has.
    package private(set) var lastError: String?
    /// No start before this, but one after it; nil while it is closed.
    package private(set) var openUntil: ContinuousClock.Instant?
    private var delay: Duration = .zero

    package init(_ limits: Limits) {
        self.threshold = limits.breakerFailures
        self.first = limits.breakerFirst
        self.longest = limits.breakerLongest
    }

    /// Whether a worker may be started now. True makes it the probe where there is to be only one; if nothing is heard of
    /// it, the next may go after the same delay.
    package mutating func mayStart(at now: ContinuousClock.Instant) -> Bool {
        guard let openUntil = self.openUntil else { return true }
        guard now >= openUntil else { return false }
        self.openUntil = now + self.delay
        return true
    }

    /// A worker did not start, or ended right after its start. `jitter` is a factor near 1.
    package mutating func failed(_ reason: String, at now: ContinuousClock.Instant, jitter: Double) {
        self.failures += 1
        self.lastError = reason
        guard self.failures >= self.threshold else { return }
        let doublings = min(self.failures - self.threshold, 20)
        self.delay = min(self.first * (1 << doublings), self.longest) * jitter
        self.openUntil = now + self.delay
    }

    /// A worker came up.
    package mutating func started() {
        self.openUntil = nil
    }

    /// A worker performed a turn and can take another.
    package mutating func proved() {
        self.failures = 0
        self.lastError = nil
        self.openUntil = nil
    }
}

/// Whether starts may go ahead.
package enum CircuitState: String, Sendable, Hashable, CaseIterable {
    /// They may.
    case closed
    /// They wait.
    case open
    /// One may, and decides for the others.
    case halfOpen = "half_open"
}

/// A circuit that has seen failures, as operators see it.
package struct CircuitRecord: Sendable, Hashable {
    /// Nil for direct turns that name none.
    package let org: OrganizationID?
    /// The agent.
    package let agent: AgentID
    /// Of its configuration.
    package let version: Int64
    /// No start before this; nil while it is closed.
    package let openUntil: ContinuousClock.Instant?
    /// Failures since a worker last proved itself.
    package let failures: Int
    /// What failed last.
    package let lastError: String

    package init(
        org: OrganizationID?,
        agent: AgentID,
        version: Int64,
        openUntil: ContinuousClock.Instant?,
        failures: Int,
        lastError: String
    ) {
        self.org = org
        self.agent = agent
        self.version = version
        self.openUntil = openUntil
        self.failures = failures
        self.lastError = lastError
    }

    /// Whether starts may go ahead.
    package func state(at now: ContinuousClock.Instant) -> CircuitState {
        guard let openUntil = self.openUntil else { return .closed }
        return now < openUntil ? .open : .halfOpen
    }
}

/// One replica's circuit of an agent, as those see it who ask about the agent.
package struct AgentCircuit: Sendable, Hashable {
    /// The replica that has seen the failures.
    package let replica: ReplicaID
    /// Its name for people.
    package let label: String
    /// Whether it starts workers.
    package let state: CircuitState
    /// Failures since a worker last proved itself.
    package let failures: Int
    /// What failed last.
    package let reason: String
    /// When it will try again, RFC 3339 in UTC; nil unless it waits.
    package let until: String?

    package init(
        replica: ReplicaID,
        label: String,
        state: CircuitState,
        failures: Int,
        reason: String,
        until: String?
    ) {
        self.replica = replica
        self.label = label
        self.state = state
        self.failures = failures
        self.reason = reason
        self.until = until
    }
}
