import Glibc
import Runtime
import TestKit

// Recoveries of a few conversations, each by itself: what one client waits for, and what it never hears of.

extension Figures {
    /// Whether every fault of `recoveries` is recovered from within its bound, and leaves its clients what they had.
    func recoveries() async throws -> Bool {
        var options = self.options
        options.replicas = 3
        options.organizations = 1
        options.conversations = 12
        return try await self.with(options) { cluster in
            let bench = RecoveryBench(cluster: cluster, patience: self.options.patience)
            try await bench.warmUp()
            try await bench.killWorkers(trials: 50)
            try await bench.cutLockSessions(trials: 30)
            try await bench.restartPostgres(trials: 10)
            try await bench.freezeReplicas(trials: 5)
            try await bench.killReplicas(trials: 5)
            return self.judge(bench)
        }
    }

    private func judge(_ bench: RecoveryBench) -> Bool {
        let bounds = [
            ("worker's launcher killed: outcome", 250), ("worker's program killed: outcome", 250),
            ("lock session killed: re-attached", 500), ("PostgreSQL back: a turn served", 1_000),
            ("replica frozen: taken over", 7_000), ("replica killed: its turn settled", 2_000),
            ("replica killed: next turn elsewhere", 2_500),
        ]
        let recoveries = bench.cluster.recorder.recoveries
        let verdicts = bounds.map { what, limit in
            let durations = recoveries[what, default: []]
            let times = Distribution(durations)
            Console.say("\(what): \(times)")
            // A hundredth of fewer than a hundred is none.
            let (name, part) = durations.count < 100 ? ("max", 1) : ("p99", 0.99)
            let isWithin = self.judge("\(what), \(name)", times.quantile(part).inMilliseconds, atMost: limit)
            return isWithin && !durations.isEmpty
        }
        let violations = bench.cluster.recorder.violations
        for violation in violations { Console.say("  \(violation)") }
        return self.judge("recoveries: violations", violations.count, atMost: 0, "") && !verdicts.contains(false)
    }
}

/// One installation, and its faults one at a time.
private struct RecoveryBench {
    let cluster: Cluster
    let workload: Workload
    let threads = BlockingPool(threads: 8)

    init(cluster: Cluster, patience: Duration) {
        self.cluster = cluster
        self.workload = Workload(balancer: cluster.balancer, patience: patience)
    }

    private var recorder: Recorder { self.cluster.recorder }
    /// Conversations whose agent does not retry, so that a lost run is seen by its client.
    private var places: [Place] { self.cluster.places.filter { $0.agent == "list" } }

    /// One turn in each conversation.
    func warmUp() async throws {
        for place in self.cluster.places {
            self.expect("completed", try await self.turn(place, "warm", 0), atOnce: true)
        }
    }

    /// Kills in turn the process that the database names, which is the launcher, and the program that it started.
    func killWorkers(trials: Int) async throws {
        for trial in 0..<trials {
            let place = self.places[trial % self.places.count]
            // Workers that never prove themselves open their agent's circuit.
            self.expect("completed", try await self.turn(place, "kill-\(trial)-before", 0))
            async let turn = self.turn(place, "kill-\(trial)", 20_000)
            let launcher = try await self.worker(of: place).pid
            let part = trial.isMultiple(of: 2) ? "launcher" : "program"
            let victim = part == "launcher" ? launcher : ProcessTable.descendants(of: launcher).min()
            let start = ContinuousClock.now
            guard let victim, Glibc.kill(victim, SIGKILL) == 0 else { throw Missing(description: "a \(part) to kill") }
            let ended = try await turn
            self.recorder.recovered("worker's \(part) killed: outcome", after: ContinuousClock.now - start)
            self.expect("failed", ended)
        }
    }

    /// A turn that runs meanwhile, and one that is submitted, must not notice.
    func cutLockSessions(trials: Int) async throws {
        for trial in 0..<trials {
            let place = self.places[trial % self.places.count]
            async let running = self.turn(place, "lock-\(trial)", 300)
            _ = try await self.worker(of: place)
            let slot = try await self.owner(of: place)
            guard let replica = slot.replica else { throw Missing(description: "a replica") }
            let old = try await self.cluster.lockSession(of: replica.id)
            let start = ContinuousClock.now
            guard old != 0, try await self.cluster.terminate(slot.session("lock")) > 0 else {
                throw Missing(description: "a lock session")
            }
            try await eventually("the replica has its locks again", within: .seconds(20)) {
                try await self.cluster.isReattached(replica.id, after: old)
            }
            self.recorder.recovered("lock session killed: re-attached", after: ContinuousClock.now - start)
            self.expect("completed", try await running, atOnce: true)
            self.expect("completed", try await self.turn(place, "lock-\(trial)-next", 0), atOnce: true)
        }
    }

    /// A worker that runs a turn meanwhile goes on with it; another conversation is served as soon as there is a server.
    func restartPostgres(trials: Int) async throws {
        for trial in 0..<trials {
            let (busy, other) = (self.places[0], self.places[1])
            async let running = self.turn(busy, "restart-\(trial)", 4_000)
            let worker = try await self.worker(of: busy)
            let away = try await self.cluster.server.restart(after: .milliseconds(trial * 100))
            let back = ContinuousClock.now
            self.expect("completed", try await self.turn(other, "restart-\(trial)-other", 0))
            self.recorder.recovered("PostgreSQL back: a turn served", after: ContinuousClock.now - back)
            self.recorder.recovered("PostgreSQL restarted: away", after: away)
            guard ProcessTable.runs(worker.pid) else {
                self.recorder.violated("kept workers", "the worker of a running turn ended with PostgreSQL")
                continue
            }
            self.expect("completed", try await running)
        }
    }

    /// A replica that stands still over the end of its worker's turn: somebody else ends the turn, and the replica's own
    /// outcome is dropped when it moves again.
    func freezeReplicas(trials: Int) async throws {
        for trial in 0..<trials {
            let place = self.places[trial % self.places.count]
            async let turn = self.turn(place, "freeze-\(trial)", 1_500)
            _ = try await self.worker(of: place)
            let owner = try await self.owner(of: place)
            guard let replica = owner.replica else { throw Missing(description: "a replica") }
            let late = try await self.lateReplies(replica)
            let start = ContinuousClock.now
            replica.process.signal(SIGSTOP)
            self.cluster.balancer.remove(owner.number)
            try await eventually("its peers have taken over", within: .seconds(30)) {
                try await self.cluster.isForgotten(replica.id)
            }
            self.recorder.recovered("replica frozen: taken over", after: ContinuousClock.now - start)
            self.expect("failed", try await turn)
            self.expect("completed", try await self.turn(place, "freeze-\(trial)-next", 0))
            replica.process.signal(SIGCONT)
            try await eventually("its own outcome is dropped", within: .seconds(20)) {
                try await self.lateReplies(replica) > late
            }
            self.cluster.balancer.place(owner.number, at: replica.port)
        }
    }

    /// A replica that dies within a turn: its peers end the turn, and the next one runs on one of them.
    func killReplicas(trials: Int) async throws {
        for trial in 0..<trials {
            let place = self.places[trial % self.places.count]
            async let turn = self.turn(place, "die-\(trial)", 20_000)
            _ = try await self.worker(of: place)
            let owner = try await self.owner(of: place)
            guard let replica = owner.replica else { throw Missing(description: "a replica") }
            let start = ContinuousClock.now
            try await self.cluster.kill(owner)
            try await eventually("its turn is settled", within: .seconds(30)) {
                try await self.cluster.debts(of: replica.id) == 0
            }
            self.recorder.recovered("replica killed: its turn settled", after: ContinuousClock.now - start)
            self.expect("completed", try await self.turn(place, "die-\(trial)-next", 0))
            self.recorder.recovered("replica killed: next turn elsewhere", after: ContinuousClock.now - start)
            self.expect("failed", try await turn)
            try await self.cluster.boot(owner)
        }
    }

    // MARK: - Tools

    private func turn(_ place: Place, _ key: String, _ milliseconds: Int) async throws -> ClientTurn {
        let workload = self.workload
        return try await self.threads.run {
            var turn = ClientTurn(
                client: "recovery",
                conversation: place.name,
                key: "\(place.agent)-\(place.conversation)-\(key)",
                begun: ContinuousClock.now - workload.start
            )
            let wish = TurnWish(milliseconds: milliseconds)
            TurnTalk(workload: workload, place: place, wish: wish, deadline: .now + workload.patience).run(&turn)
            return turn
        }
    }

    /// A turn must have got this outcome; `atOnce`: with no refusal and no broken answer on the way.
    private func expect(_ state: String, _ turn: ClientTurn, atOnce: Bool = false) {
        if turn.problem != nil || turn.seen.last?.state != state || (atOnce && !turn.setbacks.isEmpty) {
            self.recorder.violated("outcome", "\(turn.key): \(turn.seen) \(turn.setbacks) \(turn.problem ?? "")")
        }
    }

    /// The worker that runs a turn of this conversation, once it does.
    private func worker(of place: Place) async throws -> Cluster.RunningWorker {
        var found: Cluster.RunningWorker?
        try await eventually("a turn of \(place.name) runs", within: .seconds(20)) {
            found = try await self.cluster.runningWorkers(of: place).first
            return found != nil
        }
        guard let found else { throw Missing(description: "a worker of \(place.name)") }
        return found
    }

    private func owner(of place: Place) async throws -> Slot {
        for slot in self.cluster.slots {
            guard let replica = slot.replica else { continue }
            if try await self.cluster.owned(by: replica.id).contains(place.name) { return slot }
        }
        throw Missing(description: "the owner of \(place.name)")
    }

    private func lateReplies(_ replica: Replica) async throws -> Int {
        let text = try await HTTPClient(port: replica.port).send("GET", "/metrics").text
        let line = text.split(separator: "\n").first { $0.hasPrefix("turnpike_late_replies_total") }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Double($0) }.map { Int($0) } ?? 0
    }
}
