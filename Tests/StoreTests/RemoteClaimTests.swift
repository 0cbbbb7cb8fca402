import Domain
import Postgres
import Store
import TestKit
import Testing

@Suite("Claims of remote workers")
struct RemoteClaimTests {
    /// Remote agents of an organization, each with conversations that are ready, and a worker.
    private static func worker(
        _ fixture: StoreFixture,
        org: String = "acme",
        principal: String = "seat",
        agents: [String]
    ) async throws -> RemoteWorker {
        let organization = try OrganizationID(org)
        try await fixture.store.ensureOrganization(organization, by: .gateway)
        let tenant = fixture.store.tenant(organization)
        var configuration = AgentConfiguration(driver: .remote, command: [], storeMode: .none)
        configuration.account = AccountNeed(provider: "example")
        for agent in agents { _ = try await tenant.put(try AgentID(agent), configuration) }
        let registered = try await tenant.register(
            provider: try ProviderID("example"),
            principal: principal,
            label: nil,
            pool: nil,
            slots: nil
        )
        switch registered {
        case .made(let account), .known(let account):
            return RemoteWorker(org: organization, token: freshID(), account: account.id)
        case .labelTaken: throw Missing(description: "the account has no label")
        }
    }

    private static func ready(
        _ fixture: StoreFixture,
        _ agent: String,
        _ count: Int,
        org: String? = "acme",
        hoursAgo: Int = 1
    ) async throws {
        _ = try await fixture.pool.query(
            """
            INSERT INTO turnpike.conversations (org, agent, conversation, queued, ready_at)
            SELECT \(org)::text, \(agent)::text, 'c-' || n, 0,
                now() - \(hoursAgo)::integer * interval '1 hour' + n * interval '1 ms'
            FROM generate_series(1, \(count)::integer) n
            """
        )
    }

    private static func claim(_ fixture: StoreFixture, _ worker: RemoteWorker) async throws -> Claim? {
        try await fixture.store.claimRemote(worker, hold: .seconds(60), presence: .seconds(60))
    }

    @Test("agents take turns, within each the oldest first, however many conversations one of them has")
    func agents() async throws {
        let fixture = try await StoreFixture.make()
        let worker = try await Self.worker(fixture, agents: ["a", "b", "c"])
        try await Self.ready(fixture, "a", 200, hoursAgo: 3)
        try await Self.ready(fixture, "b", 3)
        try await Self.ready(fixture, "c", 1)
        var claims: [Claim] = []
        for _ in 0..<9 { claims.append(try #require(try await Self.claim(fixture, worker))) }
        #expect(claims.map(\.agent.text) == ["a", "b", "c", "a", "b", "a", "b", "a", "a"])
        let named = claims.filter { $0.agent.text == "a" }.compactMap(\.conversation?.text)
        #expect(named == ["c-1", "c-2", "c-3", "c-4", "c-5"])
    }

    @Test("what an agent runs on the account has been its turns already, and another account's does not count")
    func held() async throws {
        let fixture = try await StoreFixture.make()
        let worker = try await Self.worker(fixture, agents: ["a", "b"])
        let other = try await Self.worker(fixture, principal: "other", agents: ["a", "b"])
        for number in 1...3 { try await Self.run(fixture, "a", "run-\(number)", as: worker) }
        for number in 4...5 { try await Self.run(fixture, "b", "run-\(number)", as: other) }
        try await Self.ready(fixture, "a", 10, hoursAgo: 3)
        try await Self.ready(fixture, "b", 10)
        // What is claimed and not begun is no run yet, so nothing changes between these.
        for _ in 0..<4 { #expect(try await Self.claim(fixture, worker)?.agent.text == "b") }
        for _ in 0..<4 { #expect(try await Self.claim(fixture, other)?.agent.text == "a") }
    }

    /// A turn that a worker runs.
    private static func run(
        _ fixture: StoreFixture,
        _ agent: String,
        _ conversation: String,
        as worker: RemoteWorker
    ) async throws {
        let intake = try await Self.accept(fixture, agent, conversation, as: worker)
        let claim = Claim(
            number: intake.number,
            org: worker.org,
            agent: try AgentID(agent),
            conversation: try ConversationID(conversation),
            lock: nil,
            next: nil,
            agentConfiguration: nil,
            agentVersion: 1
        )
        #expect(try await Self.begin(fixture, claim, as: worker)?.turn != nil)
    }

    @discardableResult
    private static func accept(
        _ fixture: StoreFixture,
        _ agent: String,
        _ conversation: String,
        as worker: RemoteWorker
    ) async throws -> Intake {
        try await fixture.store.accept(
            TurnSubmission(
                id: freshID(),
                org: worker.org,
                agent: try AgentID(agent),
                conversation: try ConversationID(conversation),
                run: nil,
                input: TurnInput(text: "x"),
                queueLimit: 100
            )
        )
    }

    private static func begin(
        _ fixture: StoreFixture,
        _ claim: Claim,
        as worker: RemoteWorker
    ) async throws -> RemoteRun? {
        let run: ReplicaID = freshID()
        return try await fixture.store.beginRemoteTerm(
            claim,
            for: RemoteDemand(worker: worker, key: run.text, leaseSeconds: 60),
            run: run,
            nonce: freshID(),
            deployment: freshID(),
            limits: AgentLimits()
        )
    }

    @Test("a turn for which workers have no capacity goes to other accounts so often, and no more")
    func rerouted() async throws {
        let fixture = try await StoreFixture.make()
        var workers: [RemoteWorker] = []
        for number in 1...4 {
            workers.append(try await Self.worker(fixture, principal: "seat-\(number)", agents: ["a"]))
        }
        // All are there, so it is not for want of others that it ends.
        for worker in workers { #expect(try await Self.claim(fixture, worker) == nil) }
        try await Self.accept(fixture, "a", "c", as: workers[0])
        for (worker, goesOn) in zip(workers, [true, true, false]) {
            let claim = try #require(try await Self.claim(fixture, worker))
            let run = try #require(try await Self.begin(fixture, claim, as: worker))
            let turn = try #require(run.turn)
            #expect(run.attempt == 1, "nothing ran, so no attempt was spent")
            let rerouted = try await fixture.store.reroute(
                turn: turn,
                fence: run.fence,
                events: [],
                message: "full",
                most: 2,
                exclusion: .seconds(60)
            )
            guard case .done(let event) = rerouted else { throw Missing(description: "the fence is the run's") }
            #expect((event != nil) == goesOn, "\(worker.account)")
            guard goesOn else { break }
            try await fixture.store.endIdle(run)
            #expect(try await Self.claim(fixture, worker) == nil, "it is passed over")
        }
    }

    @Test("a worker of default gets turns that were enqueued without an organization, and no other worker does")
    func nameless() async throws {
        let fixture = try await StoreFixture.make()
        let worker = try await Self.worker(fixture, org: "default", agents: ["a"])
        let stranger = try await Self.worker(fixture, org: "acme", agents: ["a"])
        try await Self.ready(fixture, "a", 1, org: nil)
        #expect(try await Self.claim(fixture, stranger) == nil)
        let claim = try #require(try await Self.claim(fixture, worker))
        #expect(claim.org == nil && claim.agentConfiguration?.driver == .remote)
        #expect(try await Self.claim(fixture, worker) == nil)
    }

    @Test("8 workers of an account claim at the same moment, and each conversation is claimed once")
    func atOnce() async throws {
        let fixture = try await StoreFixture.make(poolSize: 8)
        let worker = try await Self.worker(fixture, agents: ["a", "b"])
        try await Self.ready(fixture, "a", 80)
        try await Self.ready(fixture, "b", 40)
        let claimed = try await withThrowingTaskGroup(of: [ConversationNumber].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var numbers: [ConversationNumber] = []
                    // One that finds nothing may have met only what the others were claiming.
                    var misses = 0
                    while misses < 20 {
                        if let claim = try await Self.claim(fixture, worker) {
                            numbers.append(claim.number)
                        } else {
                            misses += 1
                        }
                    }
                    return numbers
                }
            }
            return try await group.reduce(into: [ConversationNumber]()) { $0 += $1 }
        }
        #expect(claimed.count == 120 && Set(claimed).count == 120)
    }

    @Test("with 10,000 ready conversations a claim reads a few entries of the index and scans no table")
    func cost() async throws {
        let fixture = try await StoreFixture.make(poolSize: 1)
        let worker = try await Self.worker(fixture, agents: ["a", "b"])
        try await Self.ready(fixture, "a", 9_000)
        try await Self.ready(fixture, "b", 1_000)
        _ = try await fixture.pool.query("ANALYZE turnpike.conversations")
        func scanned() async throws -> Int {
            _ = try await fixture.pool.query("SELECT pg_stat_force_next_flush()")
            return try await fixture.count(
                "SELECT seq_tup_read AS count FROM pg_stat_user_tables WHERE relname = 'conversations'"
            )
        }
        #expect(try await Self.claim(fixture, worker) != nil)
        let before = try await scanned()
        for _ in 0..<20 { #expect(try await Self.claim(fixture, worker) != nil) }
        #expect(try await scanned() == before)
    }
}
