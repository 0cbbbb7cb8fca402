import Domain
import Postgres
import TestKit

// What the database says after a run.

extension Cluster {
    /// Every named conversation with all that belongs to it.
    func evidence() async throws -> [ConversationEvidence] {
        var found: [Int: ConversationEvidence] = [:]
        let conversations = try await self.ask(
            """
            SELECT id, concat_ws('/', org, agent, conversation) AS name, head, last_event, queued,
                concat_ws(', ', 'running ' || running::text, 'owned by ' || owner_replica::text,
                    'claimable at ' || ready_at::text) AS ties
            FROM turnpike.conversations ORDER BY id
            """
        )
        for row in conversations {
            var conversation = ConversationEvidence(name: try row.get("name"))
            conversation.head = try row.get("head")
            conversation.lastEvent = try row.get("last_event")
            conversation.queued = try row.get("queued")
            let ties: String = try row.get("ties")
            if !ties.isEmpty { conversation.ties.append(ties) }
            found[try row.get("id")] = conversation
        }
        try await self.addTurns(&found)
        for row in try await self.ask(
            "SELECT conversation_id, seq, turn::text, type FROM turnpike.events ORDER BY conversation_id, seq"
        ) {
            let event = LoggedEvent(seq: try row.get("seq"), type: try row.get("type"), turn: try row.get("turn"))
            found[try row.get("conversation_id")]?.events.append(event)
        }
        for row in try await self.ask(
            """
            SELECT conversation_id, seq, parent, kind, convert_from(body, 'UTF8') AS body, epoch, owner_nonce::text
            FROM turnpike.snapshots ORDER BY conversation_id, seq
            """
        ) {
            let snapshot = SnapshotEvidence(
                seq: try row.get("seq"),
                parent: try row.get("parent"),
                isBase: try row.get("kind", as: String.self) == "base",
                body: try row.get("body"),
                epoch: try row.get("epoch"),
                nonce: try row.get("owner_nonce")
            )
            found[try row.get("conversation_id")]?.snapshots.append(snapshot)
        }
        return found.sorted { $0.key < $1.key }.map(\.value)
    }

    private func addTurns(_ found: inout [Int: ConversationEvidence]) async throws {
        let rows = try await self.ask(
            """
            SELECT t.conversation_id, t.turn::text, t.seq, t.client_key, t.state, t.attempt, o.state AS outcome, o.code,
                o.reply
            FROM turnpike.turns t LEFT JOIN turnpike.outcomes o USING (turn) ORDER BY t.conversation_id, t.seq
            """
        )
        for row in rows {
            let state: String? = try row.get("outcome")
            let code: String? = try row.get("code")
            let reply: String? = try row.get("reply")
            let turn = TurnEvidence(
                turn: try row.get("turn"),
                seq: try row.get("seq"),
                key: try row.get("client_key"),
                state: try row.get("state"),
                attempt: try row.get("attempt"),
                outcome: state.map { SeenOutcome(state: $0, code: code, text: reply ?? "") }
            )
            found[try row.get("conversation_id")]?.turns.append(turn)
        }
    }

    /// By how much the counters of the quotas differ from what counting anew gives.
    private static let leaked: Query = """
        SELECT coalesce(sum(abs(open - real)), 0)::bigint AS count FROM (
            SELECT q.open, (SELECT count(*) FROM turnpike.turns t WHERE t.org = q.org AND t.ended_at IS NULL) AS real
            FROM turnpike.quotas q
            UNION ALL
            SELECT c.open, (SELECT count(*) FROM turnpike.turns t
                WHERE t.org = c.org AND t.submitter = c.token AND t.ended_at IS NULL)
            FROM turnpike.quota_tokens c
        ) counters
        """

    /// What is left lying about once nothing is asked of the replicas any more.
    func leftovers() async throws -> [Violation] {
        var found: [Violation] = []
        func expect(_ check: String, _ what: String, _ count: Int, atMost limit: Int) {
            guard count > limit else { return }
            let message = "\(count) \(what), at most \(limit) expected"
            found.append(Violation(check: check, conversation: "", message: message))
        }
        expect("markers", "markers", try await self.count("SELECT count(*) FROM turnpike.markers"), atMost: 0)
        expect("quotas", "reservations that no turn has", try await self.count(Self.leaked), atMost: 0)
        let open: Query = "SELECT count(*) FROM turnpike.deployments WHERE ended_at IS NULL"
        expect("deployments", "open deployments", try await self.count(open), atMost: 0)
        let replicas = try await self.count("SELECT count(*) FROM turnpike.replicas")
        expect("replicas", "replicas on record", replicas, atMost: self.slots.count)
        let locks: Query = """
            SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        expect("locks", "advisory locks", try await self.count(locks), atMost: self.slots.count)
        for slot in self.slots {
            for (kind, limit) in [("pool", 6), ("lock", 1)] {
                let sessions: Query = """
                    SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = \(slot.session(kind))
                    """
                expect("sessions", "sessions of \(slot.session(kind))", try await self.count(sessions), atMost: limit)
            }
            guard let replica = slot.replica, !replica.process.hasEnded else {
                expect("replicas", "replicas of slot \(slot.number) that have ended", 1, atMost: 0)
                continue
            }
            let descriptors = ProcessTable.descriptors(replica.pid)
            expect("descriptors", "descriptors of slot \(slot.number)", descriptors, atMost: slot.descriptorLimit)
        }
        expect("workers", "workers", ProcessTable.naming(self.folder.file("list_agent")).count, atMost: 0)
        return found
    }
}
