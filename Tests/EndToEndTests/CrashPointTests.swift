import Domain
import Faults
import Glibc
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    /// One replica works and one dies, at each point in turn.
    @Suite struct CrashPointTests {
        @Test("wherever a replica dies, every accepted turn gets exactly one outcome")
        func everyPoint() async throws {
            try await Installation.with { installation in
                let steady = installation.client(try await installation.replica(Self.impatient).port)
                try await steady.putPaced()
                try await steady.putPaced("again", more: #","retries":1"#)
                try await steady.put("missing", ["/nowhere/agent"])
                let effects = installation.folder.file("effects")
                try await steady.putParker(effects, more: #","retries":1,"limits":{"approval_seconds":2}"#)
                let accepted = Locked<[String]>([])
                let start = ContinuousClock.now
                for point in FaultPoint.allCases {
                    try await Self.die(at: point, installation, accepted)
                }
                Figures.report("\(FaultPoint.allCases.count) deaths took \(ContinuousClock.now - start)")
                let ledger = Ledger(installation)
                try await eventually("every turn has its outcome", within: .seconds(30)) {
                    try await ledger.count("SELECT count(*) FROM turnpike.turns WHERE ended_at IS NULL") == 0
                }
                for turn in accepted.withLock({ $0 }) {
                    _ = try #require(try await installation.turn(turn), "turn \(turn) was accepted and is gone")
                }
                try await ledger.check(turns: try await ledger.count("SELECT count(*) FROM turnpike.turns"))
                try await eventually("the dead are cleared", within: .seconds(10)) {
                    try await ledger.count("SELECT count(*) FROM turnpike.replicas") == 1
                }
            }
        }

        /// Turns of the agent that cannot start wait no longer than this for its circuit to close.
        private static let impatient = ["lease_wait_seconds": "5"]

        /// Starts a replica that dies at `point`, and gives it all kinds of work until it has.
        private static func die(
            at point: FaultPoint,
            _ installation: Installation,
            _ accepted: Locked<[String]>
        ) async throws {
            // Only the living take over, and only from the dead.
            let isJanitor = [.takeOverBefore, .takeOverCommitted, .takeOverFreed].contains(point)
            // Only a turn that waits for people leads there.
            let isOfPeople = [.parkBefore, .parkOpen, .parkCommitted, .decisionCommitted].contains(point)
            let output = installation.folder.file("\(point).log")
            let doomed = try await Spawned.start(
                [try Places.turnpike(), "serve"],
                environment: installation.environment(Self.impatient.merging(["fault": "\(point):exit"]) { $1 }),
                output: output
            )
            let work = Task {
                for round in 0... {
                    try Task.checkCancellation()
                    if let port = Self.port(doomed) {
                        let client = installation.client(port)
                        await Self.submit(to: client, "\(point)-\(round)", isOfPeople, accepted)
                        try await Self.disturb(installation, "\(point)-\(round)", round)
                        if isOfPeople { await Self.decide(client) }
                        if isJanitor { try await Self.leaveSomethingBehind(installation) }
                    }
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            defer { work.cancel() }
            // Longer than a circuit that deaths before this one opened can hold a start back.
            let code = try await doomed.end(within: .seconds(90))
            #expect(code == 137, "\(point): \(doomed.text.suffix(1_000))")
            #expect(doomed.text.contains(#""message":"fault","point":"\#(point)""#))
        }

        /// Where a replica listens, from its log; nil before it does.
        static func port(_ process: Spawned) -> Int? {
            process.text.split(separator: "\n").first { $0.contains("replica starts") }.flatMap { line in
                line.firstRange(of: #""port":"#).flatMap { Int(line[$0.upperBound...].prefix { $0.isNumber }) }
            }
        }

        /// Turns of every kind; the replica may die under each of them.
        private static func submit(
            to client: Client,
            _ name: String,
            _ isOfPeople: Bool,
            _ accepted: Locked<[String]>
        ) async {
            let plain = [("paced", "one 2 0.05"), ("missing", "one"), ("again", "one 60 0.05")]
            for (agent, text) in plain + (isOfPeople ? [("parker", "a")] : []) {
                do {
                    let turn = try await client.submit(agent, name, text, key: "\(agent)-\(name)")
                    accepted.withLock { $0.append(turn) }
                } catch {
                    // No answer is no promise: whatever was written gets its outcome all the same.
                }
            }
        }

        /// Decides whatever is asked; the replica may die of it.
        private static func decide(_ client: Client) async {
            do {
                let listed = try await client.http.send("GET", "/v1/approvals?state=pending").json()
                for approval in (listed["approvals"]?.elements ?? []).compactMap({ $0["id"]?.text }) {
                    _ = try await client.http.send("POST", "/v1/approvals/\(approval)", #"{"decision":"allow"}"#)
                }
            } catch {
                // Nobody was told, so nobody counts on it.
            }
        }

        /// Kills every other worker that is at work, lets the turns between be overdue, and enqueues one for an agent
        /// that is not there. Where only one is at work, `round` says which of the two it is.
        private static func disturb(_ installation: Installation, _ name: String, _ round: Int) async throws {
            let live = try await installation.pool.query(
                """
                SELECT d.pid, t.turn::text AS turn FROM turnpike.deployments d
                JOIN turnpike.conversations c ON c.id = d.conversation_id JOIN turnpike.turns t ON t.turn = c.running
                WHERE c.agent = 'again' AND d.ended_at IS NULL AND d.pid IS NOT NULL ORDER BY d.started_at
                """
            )
            for (index, row) in live.enumerated() {
                if (index + round).isMultiple(of: 2) {
                    kill(try row.get("pid"), SIGKILL)
                } else {
                    // The hard one: each word of the reply moves the deadline of progress, and no sweep might see it.
                    _ = try await installation.pool.query(
                        """
                        UPDATE turnpike.markers SET hard_deadline = now() - interval '1 minute'
                        WHERE turn = \(try row.get("turn", as: String.self))::uuid
                        """
                    )
                }
            }
            _ = try await installation.enqueue("nobody", org: "default", conversation: name, run: true)
        }

        /// What a replica that is dead has owned, for janitors to find.
        private static func leaveSomethingBehind(_ installation: Installation) async throws {
            _ = try await installation.pool.query(
                """
                INSERT INTO turnpike.replicas (replica, label, version) VALUES (gen_random_uuid(), 'dead', '0')
                """
            )
        }
    }
}
