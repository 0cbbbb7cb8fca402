import Glibc
import Postgres
import Runtime
import TestKit

/// What one run came to.
struct RunReport: Sendable {
    let name: String
    let seed: UInt64
    let turns: Int
    let completed: Int
    let faults: [NemesisKind: Int]
    let recoveries: [String: [Duration]]
    /// Fault points that were reached, and how often.
    let points: [String: Int]
    let violations: [Violation]
    let history: History
}

/// One run: clients talk, nemeses act, everything heals and comes to rest, and then it is judged.
struct Run {
    let options: Options
    let name: String
    let kinds: [NemesisKind]
    let seed: UInt64
    /// The replicas' settings, as in the configuration file.
    var settings: [String: String] = [:]
    /// The agents' limits.
    var limits = Cluster.limits(idle: 3)
    /// Whether the clients' balancer knows by health checks alone who is ready.
    var checksHealth = false

    /// How many seconds the whole mix takes to have each of its faults.
    static let wholeMix = 60

    /// The faults without which a run is void: all that were chosen. A short run of the whole mix has a part of it.
    var expected: [NemesisKind] {
        self.kinds == NemesisKind.mix && self.options.seconds < Self.wholeMix ? [] : self.kinds
    }

    /// Clients talk for so long before the first fault.
    private static let calm: Duration = .seconds(1)

    /// What it came to. A run that could not go on has that as its violation.
    func report(on server: Server) async -> RunReport {
        do {
            return try await self.perform(on: server)
        } catch {
            let violation = Violation(check: "run", conversation: "", message: "\(error)")
            return RunReport(
                name: self.name,
                seed: self.seed,
                turns: 0,
                completed: 0,
                faults: [:],
                recoveries: [:],
                points: [:],
                violations: [violation],
                history: History()
            )
        }
    }

    func perform(on server: Server) async throws -> RunReport {
        let cluster = try await Cluster.start(
            self.options,
            on: server,
            settings: self.settings,
            limits: self.limits,
            checksHealth: self.checksHealth
        )
        let report: RunReport
        do {
            report = try await self.perform(cluster)
        } catch {
            await Self.end(cluster)
            throw error
        }
        await Self.end(cluster)
        return report
    }

    private static func end(_ cluster: Cluster) async {
        do { try await cluster.end() } catch { Console.say("the cluster did not end well: \(error)") }
    }

    private func perform(_ cluster: Cluster) async throws -> RunReport {
        let workload = Workload(balancer: cluster.balancer, patience: self.options.patience)
        let readers = cluster.places.count / 4
        let clients = cluster.places.count * self.options.clients
        let threads = BlockingPool(threads: clients + readers + cluster.slots.count + 8)
        async let _: Void = cluster.balancer.checkHealth(on: threads)
        var random = Seed(self.seed)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for place in cluster.places {
                for client in 0..<self.options.clients {
                    let seed = random.next()
                    group.addTask { try await threads.run { workload.converse(place, client: client, seed: seed) } }
                }
            }
            for place in cluster.places.prefix(readers) {
                let seed = random.next()
                group.addTask { try await threads.run { workload.readLogs(place, seed: seed) } }
            }
            let seeds = (0..<(self.kinds.count > 4 ? 3 : 1)).map { _ in random.next() }
            group.addTask {
                defer { workload.finish() }
                try await self.disturb(cluster, workload, threads, seeds)
            }
            try await group.waitForAll()
        }
        try await self.tail(cluster, workload, threads)
        try await self.rest(cluster)
        let conversations = try await cluster.evidence()
        let ends = Dictionary(conversations.map { ($0.name, $0.lastEvent) }, uniquingKeysWith: { first, _ in first })
        try await threads.run { workload.finishReadings(to: ends, within: .seconds(20)) }
        var history = workload.history
        history.conversations = conversations
        let violations =
            Checks.faults(cluster.recorder.fired, expected: self.expected) + cluster.recorder.violations
            + Checks.all(history) + (try await cluster.leftovers())
        let turns = history.conversations.flatMap(\.turns)
        return RunReport(
            name: self.name,
            seed: self.seed,
            turns: turns.count,
            completed: turns.count { $0.state == "completed" },
            faults: cluster.recorder.faults,
            recoveries: cluster.recorder.recoveries,
            points: cluster.recorder.points,
            violations: violations,
            history: history
        )
    }

    /// The nemeses, several at once when there are several kinds.
    private func disturb(
        _ cluster: Cluster,
        _ workload: Workload,
        _ threads: BlockingPool,
        _ seeds: [UInt64]
    ) async throws {
        try await Task.sleep(for: Self.calm)
        let deadline = ContinuousClock.now + .seconds(self.options.seconds)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seed in seeds {
                group.addTask {
                    var stage = Stage(
                        cluster: cluster,
                        workload: workload,
                        threads: threads,
                        deadline: deadline,
                        recoveryLimit: self.kinds.count > 1 ? .seconds(60) : .seconds(20),
                        expected: self.expected,
                        random: Seed(seed)
                    )
                    try await stage.run(self.kinds)
                }
            }
            try await group.waitForAll()
        }
    }

    /// Every replica is ready again, and the last three operations on each succeed at once.
    private func tail(_ cluster: Cluster, _ workload: Workload, _ threads: BlockingPool) async throws {
        for slot in cluster.slots {
            guard let replica = slot.replica, let token = cluster.tokens["org-0"] else {
                cluster.recorder.violated("tail", "slot \(slot.number) has no replica")
                continue
            }
            let caller = Caller(port: replica.port, token: token)
            do {
                try await eventually("a replica is ready", within: .seconds(10)) {
                    try await threads.run { caller.saysReady }
                }
            } catch is NotInTime {
                cluster.recorder.violated("tail", "the replica of slot \(slot.number) is not ready")
            }
            let balancer = Balancer(slots: 1)
            balancer.place(0, at: replica.port)
            let direct = Workload(balancer: balancer, patience: self.options.patience)
            let place = Place(org: "org-0", agent: "list", conversation: "tail-\(slot.number)", token: token)
            try await threads.run {
                for number in 1...3 {
                    let name = "tail-\(slot.number)"
                    var turn = ClientTurn(
                        client: name,
                        conversation: place.name,
                        key: "\(name)-\(number)",
                        begun: ContinuousClock.now - workload.start
                    )
                    let deadline = ContinuousClock.now + .seconds(10)
                    TurnTalk(workload: direct, place: place, wish: TurnWish(milliseconds: 0), deadline: deadline).run(
                        &turn
                    )
                    workload.note(turn)
                    if turn.seen.first?.state != "completed" || !turn.setbacks.isEmpty {
                        cluster.recorder.violated("tail", "\(turn.key): \(turn.seen), \(turn.answers)")
                    }
                }
            }
        }
    }

    /// Waits until every conversation is free: their workers are idle and go soon.
    private func rest(_ cluster: Cluster) async throws {
        do {
            try await eventually("everything is at rest", within: .seconds(25)) {
                try await cluster.count(
                    """
                    SELECT count(*) FROM turnpike.conversations
                    WHERE running IS NOT NULL OR owner_replica IS NOT NULL OR ready_at IS NOT NULL OR queued > 0
                    """
                ) == 0
            }
            // A presence that is over goes when a peer has looked twice.
            try await eventually("nothing is left", within: .seconds(10)) {
                try await cluster.leftovers().isEmpty
            }
        } catch is NotInTime {
            // What is not at rest is found by the checks.
        }
    }
}

extension Cluster {
    /// The conversations of a run, organizations and agents in turn.
    var places: [Place] {
        (0..<self.options.conversations).map { number in
            let org = "org-\(number % self.options.organizations)"
            let round = number / self.options.organizations
            let agent = Self.agents[round % Self.agents.count]
            // The first and the third agent of a round have a pair whose parts joined by colons are the same.
            let prefix = agent == "list" ? "x:" : ""
            let conversation = "\(prefix)c-\(round / Self.agents.count)"
            return Place(org: org, agent: agent, conversation: conversation, token: self.tokens[org] ?? "")
        }
    }
}
