import Domain
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

// What a worker outside the gateway is not given, and not let do.
extension RemoteTests {
    @Test("a turn that may write a snapshot and names no conversation is refused to every worker, and waits")
    func guarded() async throws {
        try await APIFixture.with { fixture in
            let client = try await fixture.client(of: "default", Set(Scope.allCases))
            let workers = [try await self.enrol(fixture), try await self.enrol(fixture, by: client)]
            for worker in workers { #expect(try await self.claim(worker, "here", wait: 0) == .null) }
            let refused = [
                try await fixture.enqueue(org: "acme", isSnapshotting: true),
                try await fixture.enqueue(org: nil, conversation: "c", isSnapshotting: true),
                try await fixture.enqueue(org: nil, isSnapshotting: true),
            ]
            for (number, worker) in workers.enumerated() {
                for round in 0..<3 { #expect(try await self.claim(worker, "\(number)-\(round)", wait: 0) == .null) }
            }
            for turn in refused {
                let row = try #require(try await fixture.turn(turn))
                #expect(try row.get("state", as: String.self) == "queued")
                #expect(try row.get("attempt", as: Int.self) == 0)
                let reason = try row.get("deferred_for", as: String?.self)
                #expect(reason?.contains("may write a snapshot") == true, "\(reason ?? "no reason")")
            }
            // The same without the leave to write a snapshot needs no guard.
            for (worker, org) in zip(workers, ["acme", nil]) {
                let turn = try await fixture.enqueue(org: org)
                let assignment = try await self.claim(worker, "free")
                #expect(assignment["turn"]?.text == turn)
                let question = #","question":1,"tool":{"name":"t"},"options":[{"id":"n","kind":"reject_once"}]"#
                if org == nil {
                    let standing = try await self.write(worker, assignment, "approvals", question).json()
                    #expect(standing == ["state": "decided", "decision": "n"], "there is nobody to ask")
                }
                let end = #","state":"completed","reply":"x""#
                #expect(try await self.write(worker, assignment, "outcome", end).json()["result"] == "settled")
                #expect(try await fixture.turn(turn)?.get("state", as: String.self) == "completed")
            }
            try await fixture.age("10 minutes")
            try await eventually("the refused turns to be given up", within: .seconds(30)) {
                for worker in workers {
                    let key = "\(UInt64.random(in: 0 ... .max))"
                    #expect(try await self.claim(worker, key, wait: 0) == .null)
                }
                for turn in refused {
                    guard try await fixture.turn(turn)?.get("state", as: String.self) == "failed" else { return false }
                }
                return true
            }
            for turn in refused {
                let row = try #require(try await fixture.turn(turn))
                #expect(try row.get("code", as: String?.self) == "guard_refused")
                #expect(try row.get("dead", as: String?.self) == "guard_refused")
                #expect(try row.get("attempt", as: Int.self) == 0)
                #expect(try row.get("runs", as: Int.self) == 0)
            }
        }
    }

    @Test("a run that says more than its agent may fails as output_limit, with what it had streamed")
    func output() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture, limits: #"{"output_bytes":1024}"#)
            #expect(try await self.claim(worker, "here", wait: 0) == .null)
            func delta(_ batch: Int, _ bytes: Int, _ type: String = "delta") -> String {
                #","batch":\#(batch),"events":[{"type":"\#(type)","text":"\#(String(repeating: "x", count: bytes))"}]"#
            }
            func end(_ state: String, _ bytes: Int) -> String {
                #","state":"\#(state)","reply":"\#(String(repeating: "y", count: bytes))""#
            }
            var turn = try await self.submit(fixture, "c", "events")
            var run = try await self.claim(worker, "events")
            for _ in 0..<2 { #expect(try await self.write(worker, run, "events", delta(1, 600)).status == 200) }
            let rest = try await self.write(worker, run, "events", delta(2, 424, "thought"))
            #expect(rest.status == 200, "what was sent twice is counted once")
            let over = try await self.write(worker, run, "events", delta(3, 1))
            #expect(over.status == 413 && over.code == "output_limit", "\(over.text)")
            for (part, members) in [("events", delta(3, 1)), ("heartbeat", "")] {
                #expect(try await self.write(worker, run, part, members).code == "fenced", "\(part)")
            }
            let late = try await self.write(worker, run, "outcome", end("completed", 1))
            #expect(try late.json()["result"] == "repeated", "the run has its end already, and keeps it")
            var outcome = try #require(try await self.outcome(fixture, turn))
            #expect(outcome["code"] == "output_limit" && outcome["reply"]?.text == String(repeating: "x", count: 600))
            let types = try await self.events(fixture, "c").compactMap { $0["type"]?.text }
            #expect(types == ["turn.queued", "turn.started", "delta", "thought", "turn.failed"])

            let endings: [(String, Int, String?)] = [
                ("completed", 1_025, "output_limit"), ("cancelled", 1_025, nil), ("completed", 1_024, nil),
            ]
            for (state, bytes, code) in endings {
                turn = try await self.submit(fixture, "d", state)
                run = try await self.claim(worker, "\(state)-\(bytes)")
                #expect(try await self.write(worker, run, "events", delta(1, 10)).status == 200)
                let ended = try await self.write(worker, run, "outcome", end(state, bytes))
                #expect(try ended.json()["result"] == "settled", "\(ended.text)")
                outcome = try #require(try await self.outcome(fixture, turn))
                #expect(outcome["code"]?.text == code, "\(outcome)")
                #expect(outcome["reply"]?.text?.utf8.count == (bytes > 1_024 ? 10 : bytes), "\(state) \(bytes)")
            }
        }
    }
}

extension APIFixture {
    private func rows(_ query: Query) async throws -> [Row] {
        let pool = ConnectionPool(
            configuration: .init(conninfo: self.conninfo, size: 1),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let rows = try await pool.query(query)
        await pool.close()
        return rows
    }

    /// Enqueues a turn of the agent `far` as a service that shares the database does.
    fileprivate func enqueue(
        org: String?,
        conversation: String? = nil,
        isSnapshotting: Bool = false
    ) async throws -> String {
        let rows = try await self.rows(
            """
            SELECT turn::text FROM turnpike.enqueue_turn(
                p_agent => 'far', p_input => '[{"type":"text","text":"one"}]'::jsonb, p_org => \(org)::text,
                p_conversation => \(conversation)::text,
                p_run => CASE WHEN \(isSnapshotting)::boolean THEN gen_random_uuid() END)
            """
        )
        return try #require(try rows.first?.get("turn"))
    }

    /// Lets what was put back have waited longer by so much.
    fileprivate func age(_ time: String) async throws {
        _ = try await self.rows("UPDATE turnpike.turns SET deferred_since = deferred_since - \(time)::interval")
    }

    /// A turn with what became of it.
    fileprivate func turn(_ id: String) async throws -> Row? {
        try await self.rows(
            """
            SELECT t.state, t.attempt, t.deferred_for, o.code, d.code AS dead,
                (SELECT count(*) FROM turnpike.remote_runs r WHERE r.turn = t.turn) AS runs
            FROM turnpike.turns t
            LEFT JOIN turnpike.outcomes o USING (turn) LEFT JOIN turnpike.dead_letters d USING (turn)
            WHERE t.turn = \(id)::uuid
            """
        ).first
    }
}
