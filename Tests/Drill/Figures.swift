import Glibc
import Postgres
import Runtime
import TestKit

/// Recoveries measured one by one, with nothing else going on.
struct Figures {
    let options: Options
    let server: Server

    /// Whether all are within their bounds.
    func run() async throws -> Bool {
        let recoveries = try await self.recoveries()
        let crowd = try await self.crowd(conversations: self.options.crowd)
        let trees = try await self.trees(trials: self.options.trials)
        let rolling = try await self.rolling()
        return recoveries && crowd && trees && rolling
    }

    func judge(_ what: String, _ value: Int, atMost limit: Int, _ unit: String = "ms") -> Bool {
        let verdict = value <= limit ? "ok" : "RED"
        Console.say("\(verdict): \(what): \(value) \(unit) (at most \(limit))")
        return value <= limit
    }

    private func judge(_ what: String, _ count: Int, atLeast limit: Int) -> Bool {
        Console.say("\(count >= limit ? "ok" : "RED"): \(what): \(count) (at least \(limit))")
        return count >= limit
    }

    func with(
        _ options: Options,
        arguments: [String] = [],
        _ body: (Cluster) async throws -> Bool
    ) async throws -> Bool {
        let limits = #""start_seconds":120,"turn_seconds":600,"progress_seconds":300,"idle_seconds":900"#
        let cluster = try await Cluster.start(options, on: self.server, limits: limits, arguments: arguments)
        let isGood: Bool
        do {
            isGood = try await body(cluster)
        } catch {
            try await cluster.end()
            throw error
        }
        try await cluster.end()
        return isGood
    }

    // MARK: - Many conversations

    /// Kills three replicas one after another, each once, while the conversations of each are within a turn.
    private func crowd(conversations: Int) async throws -> Bool {
        var options = self.options
        options.conversations = conversations
        options.organizations = 1
        options.replicas = 3
        return try await self.with(options, arguments: ["quiet"]) { cluster in
            let threads = BlockingPool(threads: 64)
            let places = cluster.places.map {
                Place(org: $0.org, agent: "list", conversation: $0.name.flat, token: $0.token)
            }
            let start = ContinuousClock.now
            try await self.submit(places, milliseconds: 600_000, cluster, threads)
            try await eventually("all turns run", within: .seconds(300)) {
                try await cluster.runningWorkers().count == conversations
            }
            Console.say("\(conversations) conversations run turns after \(ContinuousClock.now - start)")
            var isGood = true
            for slot in cluster.slots {
                if try await !self.killOne(slot, places, cluster, threads) { isGood = false }
                try await cluster.boot(slot)
            }
            return isGood
        }
    }

    private func killOne(
        _ slot: Slot,
        _ places: [Place],
        _ cluster: Cluster,
        _ threads: BlockingPool
    ) async throws -> Bool {
        guard let replica = slot.replica else { return false }
        let debts = try await cluster.debts(of: replica.id)
        let owned = Set(try await cluster.owned(by: replica.id))
        let killed = ContinuousClock.now
        try await cluster.kill(slot)
        try await eventually("its turns are settled", within: .seconds(60)) {
            try await cluster.debts(of: replica.id) == 0
        }
        let settled = (ContinuousClock.now - killed).inMilliseconds
        let victims = places.filter { owned.contains($0.name) }
        let first = try await self.firstReply(victims.prefix(1), cluster, threads, since: killed)
        let more = try await self.firstReply(victims.dropFirst().prefix(100), cluster, threads, since: .now)
        Console.say("\(debts) turns of the killed replica; 100 next turns elsewhere took \(more) ms together")
        let isSettled = self.judge("replica killed: its \(debts) turns settled", settled, atMost: 2_000)
        return self.judge("replica killed: next turn elsewhere", first, atMost: 2_500) && isSettled && debts > 0
    }

    private func submit(
        _ places: [Place],
        milliseconds: Int,
        _ cluster: Cluster,
        _ threads: BlockingPool
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for place in places {
                group.addTask {
                    try await threads.run {
                        guard let target = cluster.balancer.next() else { throw CallFailure.refused }
                        let caller = Caller(port: target.port, token: place.token, patience: 60)
                        let body = #"{"input":"\#(place.conversation) \#(milliseconds)"}"#
                        let reply = try caller.call("POST", "\(place.path)/turns", body)
                        guard reply.status == 202 else { throw CallFailure.broken("\(reply.status) \(reply.code)") }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Milliseconds until the next turn of each of these conversations had its reply.
    private func firstReply(
        _ places: ArraySlice<Place>,
        _ cluster: Cluster,
        _ threads: BlockingPool,
        since start: ContinuousClock.Instant
    ) async throws -> Int {
        let workload = Workload(balancer: cluster.balancer, patience: self.options.patience)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for place in places {
                group.addTask {
                    try await threads.run {
                        var turn = ClientTurn(
                            client: "next",
                            conversation: place.name,
                            key: "next-\(place.conversation)",
                            begun: .zero
                        )
                        let deadline = ContinuousClock.now + .seconds(60)
                        let wish = TurnWish(milliseconds: 0)
                        TurnTalk(workload: workload, place: place, wish: wish, deadline: deadline).run(&turn)
                        guard turn.seen.first?.state == "completed" else { throw CallFailure.broken("\(turn)") }
                    }
                }
            }
            try await group.waitForAll()
        }
        return (ContinuousClock.now - start).inMilliseconds
    }

    // MARK: - Process trees

    /// Kills a replica whose worker has forked twice into a session of its own, again and again.
    private func trees(trials: Int) async throws -> Bool {
        var options = self.options
        options.replicas = 1
        options.organizations = 1
        options.conversations = 1
        return try await self.with(options, arguments: ["daemon"]) { cluster in
            let threads = BlockingPool(threads: 4)
            let (slot, place) = (cluster.slots[0], cluster.places[0])
            let program = cluster.folder.file("list_agent")
            var survivors = 0
            var processes = 0
            var gone: [Duration] = []
            for trial in 0..<trials {
                let trialPlace = Place(org: place.org, agent: "list", conversation: "t-\(trial)", token: place.token)
                _ = try await self.firstReply([trialPlace], cluster, threads, since: .now)
                guard let replica = slot.replica else { return false }
                // The launcher, its program, and the program's daemon, whoever is its parent by now.
                try await eventually("a worker has its daemon") { ProcessTable.naming(program).count >= 3 }
                let tree = ProcessTable.descendants(of: replica.pid).union(ProcessTable.naming(program))
                processes += tree.count
                slot.put(nil)
                cluster.balancer.remove(0)
                let killed = ContinuousClock.now
                replica.process.signal(SIGKILL)
                while tree.contains(where: ProcessTable.runs), ContinuousClock.now - killed < .milliseconds(100) {
                    usleep(500)
                }
                gone.append(ContinuousClock.now - killed)
                survivors += tree.union(ProcessTable.naming(program)).filter(ProcessTable.runs).count
                try await replica.process.end(within: .seconds(5))
                try await cluster.boot(slot)
            }
            Console.say("\(trials) replicas killed with \(processes) processes; gone: \(Distribution(gone))")
            return self.judge("processes of killed replicas after 100 ms", survivors, atMost: 0, "processes")
        }
    }

    // MARK: - Rolling restart

    /// Restarts three replicas in turn, behind a balancer that checks them, while clients talk.
    private func rolling() async throws -> Bool {
        var options = self.options
        // One that leaves takes as long as its last streams may, and three are to leave.
        options.seconds = max(options.seconds, 45)
        var run = Run(options: options, name: "rolling", kinds: [.rollingRestart], seed: options.seed)
        run.checksHealth = true
        let report = try await run.perform(on: self.server)
        Console.say(Report.line(report))
        if !report.violations.isEmpty { Console.say(Report.violations(report)) }
        let good = ["submit 200", "submit 202", "submit 409 conversation_busy"]
        let answers = report.history.turns.flatMap(\.answers)
        let failed = answers.filter { answer in
            answer.hasPrefix("submit") && !good.contains { answer.hasPrefix($0) }
        }
        if !failed.isEmpty { Console.say("failed accepts: \(Set(failed).sorted())") }
        let redispatched = answers.count { $0.hasPrefix("redispatched") }
        let leaves = report.faults[.rollingRestart, default: 0]
        let resumed = report.history.turns.count { $0.isResumed } + report.history.readings.reduce(0) { $0 + $1.breaks }
        Console.say("\(leaves) replicas left, \(report.turns) turns, \(redispatched) connections made elsewhere")
        let verdicts = [
            self.judge("rolling restart: failed accepts", failed.count, atMost: 0, "requests"),
            self.judge("rolling restart: violations", report.violations.count, atMost: 0, ""),
            self.judge("rolling restart: replicas that left", leaves, atLeast: 3),
            self.judge("rolling restart: streams resumed", resumed, atLeast: 1),
        ]
        return !verdicts.contains(false)
    }
}

extension String {
    /// A conversation's name made of a path.
    fileprivate var flat: String { self.split(separator: "/").joined(separator: ".") }
}
