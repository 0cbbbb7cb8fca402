import Glibc
import Postgres
import Runtime
import TestKit

/// Where a nemesis acts: one run, and a source of chance of its own.
struct Stage {
    let cluster: Cluster
    let workload: Workload
    /// The threads that probes run on.
    let threads: BlockingPool
    let deadline: ContinuousClock.Instant
    /// How long a recovery may take. Longer where other faults go on meanwhile: whoever is to recover may have one.
    let recoveryLimit: Duration
    /// The faults without which the run is void.
    let expected: [NemesisKind]
    var random: Seed

    var recorder: Recorder { self.cluster.recorder }

    /// How much longer a run may take for the sake of a fault that did not have its effect yet.
    private static let extraTime: Duration = .seconds(30)

    /// One of these nemeses after another until time is up, each once before any comes again, those that had no effect yet
    /// first. Whatever one of them began it also ends.
    mutating func run(_ kinds: [NemesisKind]) async throws {
        var left: [NemesisKind] = []
        while self.hasTime {
            if left.isEmpty { left = kinds.shuffled(using: &self.random) }
            let fired = self.recorder.fired
            let next = left.lastIndex { !fired.contains($0) } ?? left.count - 1
            try await self.perform(left.remove(at: next))
            try await self.pause(100...600)
        }
    }

    private var hasTime: Bool {
        let late = ContinuousClock.now - self.deadline
        return late < .zero || (late < Self.extraTime && !self.recorder.fired.isSuperset(of: self.expected))
    }

    /// One fault, and the recovery from it.
    mutating func perform(_ kind: NemesisKind) async throws {
        switch kind {
        case .killWorker: try await self.killWorker()
        case .freezeWorker: try await self.freezeWorker()
        case .muteWorker: try await self.muteWorker()
        case .restartPostgres, .failOverPostgres: try await self.replacePostgres(kind)
        case .slowPostgres: try await self.slowPostgres()
        case .loseAnswers: try await self.loseAnswers()
        default:
            guard let slot = self.cluster.slots.shuffled(using: &self.random).first(where: { $0.take() }) else {
                return
            }
            defer { slot.release() }
            guard let replica = slot.replica, !kind.leansOnPeers || self.cluster.leanOnPeers() else { return }
            defer { if kind.leansOnPeers { self.cluster.leanNoLonger() } }
            try await self.perform(kind, on: slot, replica)
        }
    }

    private mutating func perform(_ kind: NemesisKind, on slot: Slot, _ replica: Replica) async throws {
        switch kind {
        case .killReplica: try await self.killReplica(slot, replica)
        case .blipReplica: try await self.blip(slot, replica)
        case .freezeReplica: try await self.freeze(slot, replica)
        case .cutLockSession: try await self.cutLockSession(slot, replica)
        case .cutCommitSessions: try await self.cutCommitSessions(slot)
        case .partition: try await self.partition(slot, [.toServer, .toClient], .partition)
        case .partitionOneWay:
            let direction: Weather.Direction = Bool.random(using: &self.random) ? .toServer : .toClient
            try await self.partition(slot, [direction], .partitionOneWay)
        case .resetConnections: try await self.resetConnections(slot)
        case .offsetClock: try await self.offsetClock(slot)
        case .rollingRestart: try await self.restart(slot, replica)
        case .faultPoint: try await self.reachPoint(slot)
        case .killWorker, .freezeWorker, .muteWorker, .restartPostgres, .failOverPostgres, .slowPostgres, .loseAnswers:
            break
        }
    }

    // MARK: - Tools

    mutating func pause(_ milliseconds: ClosedRange<Int>) async throws {
        try await Task.sleep(for: .milliseconds(Int.random(in: milliseconds, using: &self.random)))
    }

    /// Waits for a recovery and notes how long it took; one that does not come is a violation.
    @discardableResult
    func awaitRecovery(
        _ what: String,
        since start: ContinuousClock.Instant = .now,
        _ condition: () async throws -> Bool
    ) async throws -> Bool {
        do {
            try await eventually(what, within: self.recoveryLimit, condition)
            self.recorder.recovered(what, after: ContinuousClock.now - start)
            return true
        } catch is NotInTime {
            self.recorder.violated("recovery", "\(what): not within \(self.recoveryLimit)")
            return false
        }
    }

    /// Sends a turn to a conversation as a client of its own and notes how long it took from `start` to its outcome.
    @discardableResult
    mutating func probe(
        _ name: String?,
        _ what: String,
        since start: ContinuousClock.Instant,
        wish: TurnWish = TurnWish(milliseconds: 0)
    ) async throws -> ClientTurn {
        let place = self.cluster.places.first { $0.name == name } ?? self.cluster.places[0]
        let (workload, random, recorder) = (self.workload, self.random.next(), self.recorder)
        return try await self.threads.run {
            let client = "probe-\(random)"
            var turn = ClientTurn(
                client: client,
                conversation: place.name,
                key: client,
                begun: ContinuousClock.now - workload.start
            )
            TurnTalk(workload: workload, place: place, wish: wish, deadline: .now + workload.patience).run(&turn)
            workload.note(turn)
            if turn.problem == nil { recorder.recovered(what, after: ContinuousClock.now - start) }
            return turn
        }
    }
}

// MARK: - What the database says about replicas and their workers

extension Cluster {
    struct RunningWorker: Sendable {
        let turn: String
        let attempt: Int
        let pid: pid_t
    }

    /// The workers that are within a turn, in all conversations or in the one of `place`.
    func runningWorkers(of place: Place? = nil) async throws -> [RunningWorker] {
        let rows = try await self.ask(
            """
            SELECT m.turn::text, t.attempt, d.pid FROM turnpike.markers m JOIN turnpike.turns t USING (turn)
            JOIN turnpike.deployments d USING (deployment)
            JOIN turnpike.conversations c ON c.id = m.conversation_id
            WHERE d.ended_at IS NULL AND d.pid IS NOT NULL
                AND concat_ws('/', c.org, c.agent, c.conversation)
                    = coalesce(\(place?.name)::text, concat_ws('/', c.org, c.agent, c.conversation))
            """
        )
        return try rows.map {
            RunningWorker(turn: try $0.get("turn"), attempt: try $0.get("attempt"), pid: try $0.get("pid"))
        }
    }

    /// Whether this run of a turn is over.
    func isOver(_ worker: RunningWorker) async throws -> Bool {
        try await self.count(
            """
            SELECT count(*) FROM turnpike.turns
            WHERE turn = \(worker.turn)::uuid AND state = 'running' AND attempt = \(worker.attempt)
            """
        ) == 0
    }

    /// Whether a run that is over ended by no doing of its worker or its clients.
    func wasLost(_ worker: RunningWorker) async throws -> Bool {
        try await self.count(
            """
            SELECT count(*) FROM turnpike.turns
            WHERE turn = \(worker.turn)::uuid AND attempt = \(worker.attempt) AND state IN ('completed', 'cancelled')
            """
        ) == 0
    }

    /// The conversations that a replica owns.
    func owned(by replica: String) async throws -> [String] {
        try await self.ask(
            """
            SELECT concat_ws('/', org, agent, conversation) AS name FROM turnpike.conversations
            WHERE owner_replica = \(replica)::uuid AND conversation IS NOT NULL
            """
        ).map { try $0.get("name") }
    }

    /// Whether its peers have cleared a replica: it owns nothing, owes nothing, and is off the record.
    func isForgotten(_ replica: String) async throws -> Bool {
        guard try await self.owned(by: replica).isEmpty, try await self.debts(of: replica) == 0 else { return false }
        return try await self.count("SELECT count(*) FROM turnpike.replicas WHERE replica = \(replica)::uuid") == 0
    }

    func debts(of replica: String) async throws -> Int {
        try await self.count("SELECT count(*) FROM turnpike.markers WHERE replica = \(replica)::uuid")
    }

    /// The process of the session that holds a replica's presence lock; 0 without one.
    func lockSession(of replica: String) async throws -> Int {
        try await self.count(
            """
            SELECT coalesce(max(pid), 0)::bigint AS count FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32 | objid::bigint) = turnpike.presence_key(\(replica)::uuid)
            """
        )
    }

    /// Whether another session than `old` holds the presence lock of a replica and the locks of all that it owns.
    func isReattached(_ replica: String, after old: Int) async throws -> Bool {
        let session = try await self.lockSession(of: replica)
        guard session != 0, session != old else { return false }
        return try await self.count(
            """
            SELECT count(*) FROM turnpike.conversations c
            WHERE owner_replica = \(replica)::uuid AND conversation IS NOT NULL AND NOT EXISTS (
                SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = \(session)
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND (classid::bigint << 32 | objid::bigint)
                        = turnpike.lock_key(c.org, c.agent, c.conversation)
            )
            """
        ) == 0
    }

    /// Ends the sessions that call themselves `name`, or of these only those that do something; returns how many.
    func terminate(_ name: String, inUse: Bool = false) async throws -> Int {
        try await self.count(
            """
            SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = \(name) AND (NOT \(inUse) OR state <> 'idle')
            """
        )
    }
}
