import Domain
import Faults
import Glibc
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    /// Two organizations that 32 clients keep at their caps, while replicas die.
    @Suite struct QuotaTests {
        private static let organizations = ["red", "blue"]
        private static let tokensEach = 4
        private static let clientsOfToken = 4
        static let conversations = 6
        private static let (organizationTurns, tokenTurns, conversationTurns) = (10, 3, 2)
        private static let kills = 4
        /// Where replicas end themselves, at a hit that finds others in the middle of theirs.
        private static let points: [FaultPoint] = [.acceptBefore, .acceptCommitted, .settleBefore, .settleCommitted]

        @Test("wherever replicas die under 32 clients, no cap is passed, no counter is wrong and no place stays taken")
        func deaths() async throws {
            try await Installation.with { installation in
                let doors = Doors()
                let crowd = Crowd(doors: doors, seed: Seed(for: "quotas under kill -9").value)
                let first = try await installation.replica()
                doors.open(first.port)
                let tokens = try await Self.furnish(installation, first)
                try await Witness.install(on: installation.pool)
                let (over, looks, lost) = (StopSignal(), Locked(0), Locked(0))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for client in 0..<(tokens.count * Self.clientsOfToken) {
                        let token = tokens[client % tokens.count]
                        group.addTask { try await crowd.talk(client, token, until: over) }
                    }
                    group.addTask {
                        while !over.isRaised {
                            #expect(try await Witness.wrongCounters(installation.pool) == 0, "while turns come and go")
                            looks.withLock { $0 += 1 }
                            try await Task.sleep(for: .milliseconds(50))
                        }
                    }
                    defer { over.raise() }
                    let last = try await Self.killInTurn(first, installation, doors, lost)
                    for point in Self.points { try await Self.die(at: point, installation, doors) }
                    #expect(!last.process.hasEnded)
                    over.raise()
                    try await group.waitForAll()
                }
                try await Self.settle(installation, tokens: tokens.count)
                let (accepted, refused) = crowd.told.withLock { ($0.accepted, $0.refused) }
                for turn in accepted { _ = try #require(try await installation.turn(turn), "turn \(turn) is gone") }
                #expect(Set(refused.keys) == Set(QuotaCap.allCases.map(\.rawValue)), "each cap refused somebody")
                Figures.report(
                    "\(accepted.count) turns accepted, \(refused) refused, \(Self.kills) replicas killed with "
                        + "\(lost.withLock { $0 }) turns at work, \(Self.points.count) died at points, "
                        + "counters right at each of \(looks.withLock { $0 }) looks"
                )
            }
        }

        /// Makes the organizations, their agents, caps and tokens. Turns take their time, and half of the agents' turns
        /// that are lost run again.
        private static func furnish(_ installation: Installation, _ replica: Replica) async throws -> [String] {
            var tokens: [String] = []
            for (index, name) in self.organizations.enumerated() {
                let words = ["token", "create", "admin", "--direct", "--json", "--scope", "admin", "--scope", "agents"]
                let environment = installation.environment(["organization": name])
                let made = try await Program.run(words, environment, in: installation.folder)
                let admin = Client(http: HTTPClient(port: replica.port, token: try made.json()["secret"]?.text))
                try await admin.putPaced("paced", more: #","retries":\#(index)"#)
                for _ in 0..<self.tokensEach {
                    let token = try await admin.http.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#)
                    tokens.append(try #require(try token.json()["token"]?["secret"]?.text))
                }
                let caps = """
                    {"organization_turns":\(self.organizationTurns),"token_turns":\(self.tokenTurns),\
                    "conversation_turns":\(self.conversationTurns)}
                    """
                #expect(try await admin.http.send("PUT", "/v1/quotas", caps).status == 200)
            }
            return tokens
        }

        /// Ends one replica after another as `kill -9` does, each with turns at work; returns the one that is left.
        private static func killInTurn(
            _ first: Replica,
            _ installation: Installation,
            _ doors: Doors,
            _ lost: Locked<Int>
        ) async throws -> Replica {
            var replica = first
            for _ in 0..<self.kills {
                let next = try await installation.replica()
                doors.open(next.port)
                let id = replica.id
                try await eventually("a replica has turns at work", within: .seconds(30)) {
                    let running = try await Ledger(installation).count(
                        """
                        SELECT count(*) FROM turnpike.conversations
                        WHERE owner_replica = \(id)::uuid AND running IS NOT NULL
                        """
                    )
                    guard running >= 2 else { return false }
                    lost.withLock { $0 += running }
                    return true
                }
                replica.process.signal(SIGKILL)
                #expect(try await replica.process.end(within: .seconds(5)) == 128 + SIGKILL)
                doors.close(replica.port)
                replica = next
            }
            return replica
        }

        /// Starts a replica that ends itself at `point`, and waits until it has.
        private static func die(at point: FaultPoint, _ installation: Installation, _ doors: Doors) async throws {
            let doomed = try await Spawned.start(
                [try Places.turnpike(), "serve"],
                environment: installation.environment(["fault": "\(point):exit@5"]),
                output: installation.folder.file("\(point).log")
            )
            var port: Int?
            try await eventually("it listens", within: .seconds(30)) {
                port = CrashPointTests.port(doomed)
                return port != nil
            }
            let door = try #require(port)
            doors.open(door)
            let code = try await doomed.end(within: .seconds(60))
            doors.close(door)
            #expect(code == 137, "\(point): \(doomed.text.suffix(1_000))")
            #expect(doomed.text.contains(#""message":"fault","point":"\#(point)""#))
        }

        /// Once every turn has its outcome, nothing is counted any more, and nothing was ever above a cap.
        private static func settle(_ installation: Installation, tokens: Int) async throws {
            let ledger = Ledger(installation)
            try await eventually("every turn has its outcome", within: .seconds(60)) {
                try await ledger.count("SELECT count(*) FROM turnpike.turns WHERE ended_at IS NULL") == 0
            }
            #expect(try await Witness.wrongCounters(installation.pool) == 0)
            let counters: [(String, Int, Query)] = [
                ("organizations counted", self.organizations.count, "SELECT count(*) FROM turnpike.quotas"),
                ("tokens counted", tokens, "SELECT count(*) FROM turnpike.quota_tokens"),
                ("places of organizations", 0, "SELECT coalesce(sum(abs(open)), 0) AS count FROM turnpike.quotas"),
                ("places of tokens", 0, "SELECT coalesce(sum(abs(open)), 0) AS count FROM turnpike.quota_tokens"),
                (
                    "most turns in an organization", self.organizationTurns,
                    "SELECT max(in_organization) AS count FROM public.witness"
                ),
                ("most turns of a token", self.tokenTurns, "SELECT max(of_token) AS count FROM public.witness"),
                ("most turns waiting", self.conversationTurns, "SELECT max(waiting) AS count FROM public.witness"),
            ]
            for (what, expected, query) in counters { #expect(try await ledger.count(query) == expected, "\(what)") }
            let interrupted: Query = """
                SELECT count(*) FROM turnpike.turns t JOIN turnpike.outcomes o USING (turn)
                WHERE o.code = 'replica_lost' OR t.attempt > 1
                """
            #expect(try await ledger.count(interrupted) >= self.kills, "the dead had turns at work")
            try await ledger.check(turns: try await ledger.count("SELECT count(*) FROM turnpike.turns"))
        }
    }
}

/// Replicas that can be talked to now.
private final class Doors: Sendable {
    private let ports = Locked<[Int]>([])

    func open(_ port: Int) { self.ports.withLock { $0.append(port) } }
    func close(_ port: Int) { self.ports.withLock { $0.removeAll { $0 == port } } }
    func any(_ random: inout Seed) -> Int? { self.ports.withLock { $0.randomElement(using: &random) } }
}

/// Clients that want more than they may.
private struct Crowd: Sendable {
    struct Told {
        var accepted: [String] = []
        var refused: [String: Int] = [:]
    }

    let doors: Doors
    let seed: UInt64
    /// What they were answered.
    let told = Locked(Told())

    init(doors: Doors, seed: UInt64) {
        self.doors = doors
        self.seed = seed
    }

    /// Submits to one conversation or another, sometimes interrupting what is at work there, and takes some turns back.
    func talk(_ client: Int, _ token: String, until over: StopSignal) async throws {
        var random = Seed(self.seed &+ UInt64(client))
        var number = 0
        while !over.isRaised {
            number += 1
            // Others after a while, so that replicas that came later get to hold some.
            let place = Int.random(in: 0..<EndToEnd.QuotaTests.conversations, using: &random)
            let conversation = "c-\(number / 20)-\(place)"
            let policy = Int.random(in: 0..<8, using: &random) == 0 ? "interrupt" : "enqueue"
            let turn = try await self.insist("\(client)-\(number)", &random) { port in
                try await HTTPClient(port: port, token: token).send(
                    "POST",
                    Client.path("paced", conversation, "turns"),
                    #"{"input":"x 8 0.05","on_busy":"\#(policy)"}"#,
                    headers: ["Idempotency-Key": "\(client)-\(number)"]
                )
            }
            if let turn, Int.random(in: 0..<6, using: &random) == 0, let port = self.doors.any(&random) {
                do {
                    _ = try await HTTPClient(port: port, token: token).send("POST", "/v1/turns/\(turn)/cancel")
                } catch is HTTPClient.NoAnswer {
                    // The replica died; the turn ends in another way.
                } catch is SystemError {
                    // It was dead already.
                }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Sends the same request until a replica answers it: the turn that was accepted, nil when a cap refused it.
    private func insist(
        _ key: String,
        _ random: inout Seed,
        _ send: (Int) async throws -> Answer
    ) async throws -> String? {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            guard let port = self.doors.any(&random), let answer = try await Self.attempt(port, send) else {
                try await Task.sleep(for: .milliseconds(20))
                continue
            }
            switch (answer.status, answer.code) {
            case (200...202, _):
                let turn = try #require(try answer.json()["turn"]?["id"]?.text)
                self.told.withLock { $0.accepted.append(turn) }
                return turn
            case (429, "quota_reached"):
                let cap = try #require(try answer.json()["error"]?["param"]?.text)
                self.told.withLock { $0.refused[cap, default: 0] += 1 }
                return nil
            case (503, _):
                try await Task.sleep(for: .milliseconds(20))
            default:
                throw Client.Unexpected(description: "\(answer.status) \(answer.text)")
            }
        }
        throw Client.Unexpected(description: "nobody answers \(key)")
    }

    /// Nil when the replica is dead.
    private static func attempt(_ port: Int, _ send: (Int) async throws -> Answer) async throws -> Answer? {
        do {
            return try await send(port)
        } catch is HTTPClient.NoAnswer {
            return nil
        } catch is SystemError {
            return nil
        }
    }
}

/// What the turns themselves say, beside the counters.
private enum Witness {
    /// Notes, whenever a turn is accepted and in its transaction, how many there are. Whoever accepts holds the locks of
    /// what is counted, so that these numbers are exact.
    static func install(on pool: ConnectionPool) async throws {
        let steps: [Query] = [
            "CREATE TABLE public.witness (in_organization bigint, of_token bigint, waiting bigint)",
            """
            CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                INSERT INTO public.witness SELECT
                    count(*) FILTER (WHERE t.org = NEW.org),
                    count(*) FILTER (WHERE t.submitter = NEW.submitter),
                    count(*) FILTER (WHERE t.conversation_id = NEW.conversation_id AND t.state = 'queued')
                FROM turnpike.turns t WHERE t.ended_at IS NULL;
                RETURN NULL;
            END
            $$
            """,
            """
            CREATE TRIGGER witness AFTER INSERT ON turnpike.turns FOR EACH ROW EXECUTE FUNCTION public.witness()
            """,
        ]
        for step in steps { _ = try await pool.query(step) }
    }

    /// Counters that differ from a recount of the same moment.
    static func wrongCounters(_ pool: ConnectionPool) async throws -> Int {
        let rows = try await pool.query(
            """
            WITH open_turns AS (SELECT org, submitter FROM turnpike.turns WHERE ended_at IS NULL)
            SELECT (
                SELECT count(*) FROM turnpike.quotas q
                FULL JOIN (SELECT org, count(*) AS open FROM open_turns GROUP BY org) r USING (org)
                WHERE q.open IS DISTINCT FROM coalesce(r.open, 0)
            ) + (
                SELECT count(*) FROM turnpike.quota_tokens c
                FULL JOIN (SELECT org, submitter, count(*) AS open FROM open_turns GROUP BY org, submitter) r
                    ON r.org = c.org AND r.submitter = c.token
                WHERE c.open IS DISTINCT FROM coalesce(r.open, 0)
            ) AS count
            """
        )
        return try rows.first?.get("count") ?? -1
    }
}
