import Domain
import Postgres
import TestKit
import Testing

extension EndToEnd {
    /// Affinity through deaths: replies name the account they were made on and all that was said, so a wrong account and an
    /// answer out of context would both show.
    @Suite struct AccountTests {
        static let conversations = 50

        /// Its turns wait until the file `gate` is there.
        private static func put(_ client: Client, _ policy: String, grace: Int, gate: String) async throws {
            let script =
                "until [ -e \(gate) ]; do sleep 0.02; done; "
                + #"printf '%s|' \"$(cat)\" >> $HOME/list; printf '%s:' \"$SEAT\"; cat $HOME/list"#
            let account = #"{"provider":"example","on_absence":"\#(policy)","grace_seconds":\#(grace)}"#
            let more =
                #","driver":"command","store_mode":"snapshot","snapshots":{"kind":"directory"},"account":\#(account)"#
            try await client.put("seated", ["/bin/sh", "-c", script], more: more)
        }

        /// The settings of a replica that hosts `seat`.
        private static func hosting(
            _ installation: Installation,
            _ seat: String,
            secret: String? = nil
        ) throws -> [String: String] {
            let file = try installation.folder.write("\(secret ?? seat)\n", to: "secret-\(seat)", mode: 0o600)
            let text = """
                {"accounts": [{"provider": "example", "principal": "\(seat)", "label": "\(seat)", "slots": 20,
                    "secrets": {"SEAT": "\(file)"}}]}
                """
            return ["accounts": try installation.folder.write(text, to: "accounts-\(seat).json")]
        }

        /// Submits one turn to every conversation.
        private static func submit(_ client: Client, _ text: String) async throws -> [String] {
            try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for number in 0..<Self.conversations {
                    group.addTask { (number, try await client.submit("seated", "c-\(number)", text)) }
                }
                return try await group.reduce(into: [String](repeating: "", count: Self.conversations)) {
                    $0[$1.0] = $1.1
                }
            }
        }

        private static func outcomes(_ client: Client, _ turns: [String]) async throws -> [TurnOutcome] {
            try await withThrowingTaskGroup(of: (Int, TurnOutcome).self) { group in
                for (number, turn) in turns.enumerated() { group.addTask { (number, try await client.outcome(turn)) } }
                return try await group.reduce(into: [Int: TurnOutcome]()) { $0[$1.0] = $1.1 }
                    .sorted { $0.key < $1.key }.map(\.value)
            }
        }

        private static func seat(_ reply: String) -> String { String(reply.prefix { $0 != ":" }) }

        private static func waits(_ installation: Installation, _ turns: [String]) async throws -> Int {
            try await Ledger(installation).count(
                """
                SELECT count(DISTINCT turn) FROM turnpike.events
                WHERE type = 'waiting_account' AND turn = ANY (\(turns)::uuid[])
                """
            )
        }

        private static let holders: Query = """
            SELECT count(DISTINCT owner_replica) FROM turnpike.conversations WHERE running IS NOT NULL
            """

        @Test(
            "50 conversations on two accounts and three replicas stay on theirs while the owner dies, returns, and goes"
        )
        func ownerDies() async throws {
            try await Installation.with { installation in
                let a = try await installation.replica(Self.hosting(installation, "a"))
                _ = try await installation.replica(Self.hosting(installation, "b"))
                let plain = try await installation.replica()
                let client = installation.client(plain.port)
                let gate = installation.folder.file("gate")
                try await Self.put(client, "fail", grace: 60, gate: gate)
                let turns = try await Self.submit(client, "1")
                // Whoever looks for work first might do all of it before the other looks.
                try await eventually("both accounts have work", within: .seconds(20)) {
                    try await Ledger(installation).count(Self.holders) == 2
                }
                _ = try installation.folder.write("", to: "gate")
                let first = try await Self.outcomes(client, turns)
                let seats = first.map { Self.seat($0.reply) }
                #expect(first.allSatisfy { $0.state == "completed" && $0.reply.hasSuffix(":1|") })
                #expect(Set(seats) == ["a", "b"], "fresh turns go to whoever has room")
                let ofA = seats.indices.filter { seats[$0] == "a" }

                // The owner dies with work in hand and more to come, and returns.
                let second = try await Self.submit(client, "2")
                try await a.kill()
                let third = try await Self.submit(client, "3")
                let pinned = ofA.map { third[$0] }
                // Only heads of queues are told: of a conversation whose second turn died with the owner it is the third.
                try await eventually("turns of the dead owner wait visibly", within: .seconds(20)) {
                    try await Self.waits(installation, ofA.map { second[$0] } + pinned) == ofA.count
                }
                let back = try await installation.replica(Self.hosting(installation, "a"))
                for (turns, text) in [(second, "2"), (third, "3")] {
                    for (number, outcome) in try await Self.outcomes(client, turns).enumerated() {
                        // What ran as the replica died is lost and says so; nothing else may fail.
                        let isLost = text == "2" && outcome.code == "replica_lost"
                        #expect(outcome.state == "completed" || isLost, "\(outcome)")
                        if outcome.state == "completed" { #expect(Self.seat(outcome.reply) == seats[number]) }
                        if text == "3" { #expect(outcome.reply.contains(":1|") && outcome.reply.hasSuffix("3|")) }
                    }
                }

                // It goes for good: first its turns fail by their agent's policy, then they migrate.
                try await Self.put(client, "fail", grace: 1, gate: gate)
                try await back.kill()
                let fourth = try await Self.outcomes(client, Self.submit(client, "4"))
                for (number, outcome) in fourth.enumerated() {
                    let isOfA = seats[number] == "a"
                    #expect(outcome.state == (isOfA ? "failed" : "completed"), "\(outcome)")
                    #expect(outcome.code == (isOfA ? "account_unavailable" : nil), "\(outcome)")
                    if !isOfA { #expect(Self.seat(outcome.reply) == "b") }
                }
                try await Self.put(client, "migrate", grace: 1, gate: gate)
                let fifth = try await Self.submit(client, "5")
                for outcome in try await Self.outcomes(client, fifth) {
                    #expect(outcome.state == "completed" && Self.seat(outcome.reply) == "b", "\(outcome)")
                    #expect(
                        outcome.reply.contains(":1|") && outcome.reply.hasSuffix("3|5|")
                            || outcome.reply.hasSuffix("4|5|")
                    )
                }
                try await Self.checkEnd(installation, migrated: ofA.map { fifth[$0] })
            }
        }

        private static func checkEnd(_ installation: Installation, migrated: [String]) async throws {
            let ledger = Ledger(installation)
            let told: Query = """
                SELECT count(*) FROM turnpike.events WHERE type = 'account.migrated' AND turn = ANY (\(migrated)::uuid[])
                """
            #expect(try await ledger.count(told) == migrated.count, "no migration is silent")
            let owners: Query = """
                SELECT count(*) FROM turnpike.conversations c JOIN turnpike.accounts a ON a.account = c.owner_account
                WHERE a.principal = 'b'
                """
            #expect(try await ledger.count(owners) == Self.conversations, "the owner is stamped anew")
            let left: Query = """
                SELECT count(*) FROM turnpike.conversations
                WHERE queued > 0 OR running IS NOT NULL OR ready_at IS NOT NULL OR absent_at IS NOT NULL
                """
            #expect(try await ledger.count(left) == 0, "nothing is left over")
            try await ledger.check(turns: 5 * Self.conversations)
        }

        @Test("an account's secret is in its workers' environment, and in no table, no answer and no log")
        func secret() async throws {
            try await Installation.with { installation in
                let canary = "canary-\(UInt64.random(in: .min ... .max))"
                let replica = try await installation.replica(Self.hosting(installation, "a", secret: canary))
                let client = installation.client(replica.port)
                let need = #","driver":"command","account":{"provider":"example"}"#
                try await client.put("counting", ["/bin/sh", "-c", "cat; printf %s ${#SEAT}"], more: need)
                #expect(try await client.reply("counting", "c", "n") == "n\(canary.utf8.count)")
                let tables = try await installation.pool.query(
                    "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'turnpike'"
                )
                #expect(tables.count > 10)
                for table in tables {
                    let name: String = try table.get("name")
                    let found = Query(
                        unescaped: "SELECT count(*) FROM turnpike.\(name) t WHERE strpos(t::text, $1) > 0",
                        binds: [canary]
                    )
                    #expect(try await Ledger(installation).count(found) == 0, "\(name)")
                }
                let listed = try await client.http.send("GET", "/v1/accounts")
                #expect(listed.text.contains(replica.id) && !listed.text.contains(canary))
                #expect(!replica.process.text.contains(canary))
            }
        }
    }
}
