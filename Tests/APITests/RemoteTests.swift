import Domain
import Gateway
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// What workers outside the gateway are given and what is taken from them, request by request.
@Suite(.serialized)
struct RemoteTests {
    /// An account, an agent that runs on it outside, and a token that enrols workers.
    func enrol(
        _ fixture: APIFixture,
        _ principal: String = "seat-1",
        retries: Int = 1,
        limits: String = "{}",
        by client: Probe? = nil
    ) async throws -> Probe {
        let client = client ?? fixture.client
        let more = #""account":{"provider":"example"},"permissions":"ask","retries":\#(retries),"limits":\#(limits)"#
        let put = try await client.send("PUT", "/v1/agents/far", #"{"driver":"remote",\#(more)}"#)
        #expect(put.status == 200, "\(put.text)")
        let body = #"{"provider":"example","principal":"\#(principal)"}"#
        let account = try await client.send("POST", "/v1/accounts", body).json()["account"]
        let id = try #require(account?["id"]?.text)
        let made = try await client.send("POST", "/v1/accounts/\(id)/tokens", #"{"name":"machine"}"#)
        #expect(made.status == 201)
        return Probe(port: fixture.port, token: try made.json()["token"]?["secret"]?.text)
    }

    func submit(_ fixture: APIFixture, _ conversation: String, _ text: String) async throws -> String {
        let path = "/v1/agents/far/conversations/\(conversation)/turns"
        let answer = try await fixture.client.send("POST", path, #"{"input":"\#(text)"}"#)
        return try #require(try answer.json()["turn"]?["id"]?.text, "\(answer.text)")
    }

    func claim(_ worker: Probe, _ key: String, lease: Int = 30, wait: Int = 5) async throws -> JSONValue {
        let body = #"{"claim_key":"\#(key)","lease_seconds":\#(lease),"wait_seconds":\#(wait)}"#
        let answer = try await worker.send("POST", "/v1/remote/claims", body)
        #expect(answer.status == 200, "\(answer.text)")
        return try #require(try answer.json()["assignment"])
    }

    /// Sends one of a run's writes; `members` follow the ticket, beginning with a comma.
    func write(
        _ worker: Probe,
        _ assignment: JSONValue,
        _ part: String,
        _ members: String = ""
    ) async throws -> Answer {
        let turn = assignment["turn"]?.text ?? ""
        let (attempt, epoch) = (assignment["attempt"]?.integer ?? 0, assignment["epoch"]?.integer ?? 0)
        let ticket = #""attempt":\#(attempt),"epoch":\#(epoch),"lease":"\#(assignment["lease"]?.text ?? "")""#
        return try await worker.send("POST", "/v1/remote/turns/\(turn)/\(part)", "{\(ticket)\(members)}")
    }

    func outcome(_ fixture: APIFixture, _ turn: String) async throws -> JSONValue? {
        try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=20").json()["turn"]?["outcome"]
    }

    func events(_ fixture: APIFixture, _ conversation: String) async throws -> [JSONValue] {
        let path = "/v1/agents/far/conversations/\(conversation)/events"
        let page = try await fixture.client.send("GET", path, headers: ["Accept": "application/json"])
        return try page.json()["events"]?.elements ?? []
    }

    @Test("a worker claims, streams and settles; whatever it sends again changes nothing")
    func repeats() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            #expect(try await self.claim(worker, "early", wait: 0) == .null)
            let turn = try await self.submit(fixture, "c", "hello")
            let assignment = try await self.claim(worker, "one")
            #expect(assignment["turn"]?.text == turn && assignment["attempt"] == 1 && assignment["conversation"] == "c")
            #expect(assignment["input"] == [["type": "text", "text": "hello"]])
            #expect(try await self.claim(worker, "one", wait: 0) == assignment, "a lost answer is given again")
            #expect(try await self.claim(worker, "two", wait: 0) == .null, "and nobody else gets it")

            let batch = #","batch":1,"events":[{"type":"delta","text":"he"},{"type":"delta","text":"llo"}]"#
            for _ in 0..<3 { #expect(try await self.write(worker, assignment, "events", batch).status == 200) }
            let gap = try await self.write(
                worker,
                assignment,
                "events",
                #","batch":3,"events":[{"type":"delta","text":"x"}]"#
            )
            #expect(gap.status == 400)
            let beat = try await self.write(worker, assignment, "heartbeat")
            #expect(try beat.json() == ["cancel": false, "lease_seconds": 30])

            let end = #","state":"completed","reply":"hello","snapshot":"state one""#
            #expect(try await self.write(worker, assignment, "outcome", end).json()["result"] == "settled")
            #expect(try await self.write(worker, assignment, "outcome", end).json()["result"] == "repeated")
            #expect(try await self.write(worker, assignment, "heartbeat").code == "fenced")
            #expect(try await self.claim(worker, "one", wait: 0) == .null, "a claim whose turn is over gives nothing")
            #expect(try await self.outcome(fixture, turn)?["reply"] == "hello")
            let types = try await self.events(fixture, "c").compactMap { $0["type"]?.text }
            #expect(types == ["turn.queued", "turn.started", "delta", "delta", "turn.completed"])

            // The conversation is the account's now, and goes on from the state.
            let shown = try await fixture.client.send("GET", "/v1/agents/far/conversations/c").json()
            #expect(shown["account"]?.text != nil && shown["replica"] == .null && shown["head"] == 1)
            let other = try await self.enrol(fixture, "seat-2")
            _ = try await self.submit(fixture, "c", "again")
            #expect(try await self.claim(other, "x", wait: 0) == .null, "not another account's")
            let second = try await self.claim(worker, "three")
            #expect(second["snapshot"] == "state one" && second["seq"] == 2)
            let context = try await self.events(fixture, "c").last
            #expect(context?["type"] == "context" && context?["context"] == "snapshot")
        }
    }

    @Test("of 12 polls under one key on two replicas at once, all get the same run")
    func oneKey() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            for number in 0..<4 { _ = try await self.submit(fixture, "c-\(number)", "x") }
            let token = try #require(worker.token)
            let found = try await fixture.withPeerDesks(of: token, usesHints: false) { desks in
                try await withThrowingTaskGroup(of: String?.self) { group in
                    for number in 0..<12 {
                        group.addTask {
                            let desk = desks[number % desks.count]
                            return try await desk.claim("same", leaseSeconds: 30, patience: .seconds(5))?.turn.id.text
                        }
                    }
                    return try await group.reduce(into: [String?]()) { $0.append($1) }
                }
            }
            #expect(found.count == 12 && Set(found).count == 1 && found[0] != nil)
        }
    }

    @Test("a lease that ran out puts the turn first in the queue again, within its budget, and refuses the old writes")
    func leaseOver() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            let turn = try await self.submit(fixture, "c", "hello")
            let old = try await self.claim(worker, "one", lease: 2)
            let later = try await self.submit(fixture, "d", "later")
            let spoken = #","batch":1,"events":[{"type":"delta","text":"half"}]"#
            #expect(try await self.write(worker, old, "events", spoken).status == 200)
            let new = try await self.claim(worker, "two", wait: 0)
            #expect(new["turn"]?.text == later)
            let again = try await self.claim(worker, "three", lease: 2, wait: 15)
            #expect(again["turn"]?.text == turn && again["attempt"] == 2)
            for (part, members) in [
                ("heartbeat", ""), ("events", #","batch":2,"events":[{"type":"delta","text":"late"}]"#),
                ("approvals", #","question":1,"tool":{"name":"t"},"options":[{"id":"a","kind":"allow_once"}]"#),
                ("outcome", #","state":"completed","reply":"late""#), ("outcome", #","state":"cancelled""#),
            ] {
                let refused = try await self.write(worker, old, part, members)
                #expect(refused.status == 409 && refused.code == "fenced", "\(part) \(refused.text)")
            }
            let forged = try await self.write(worker, old.with("epoch", again["epoch"]), "heartbeat")
            #expect(forged.code == "fenced", "the epoch alone is not enough")
            // Its last run: then the turn fails, once, with what that one has said.
            let outcome = try await self.outcome(fixture, turn)
            #expect(outcome?["code"] == "worker_unresponsive" && outcome?["reply"] == "")
            let types = try await self.events(fixture, "c").compactMap { $0["type"]?.text }
            #expect(types.filter { $0 == "turn.failed" }.count == 1 && types.filter { $0 == "turn.retried" }.count == 1)
        }
    }

    @Test("a cancel reaches the worker with its heartbeat, and the turn ends as cancelled whatever the worker says")
    func cancel() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            let turn = try await self.submit(fixture, "c", "hello")
            let assignment = try await self.claim(worker, "one")
            #expect(try await fixture.client.send("POST", "/v1/turns/\(turn)/cancel").status == 202)
            #expect(try await self.write(worker, assignment, "heartbeat").json()["cancel"] == true)
            let end = #","state":"completed","reply":"too late""#
            #expect(try await self.write(worker, assignment, "outcome", end).json()["result"] == "settled")
            let outcome = try await self.outcome(fixture, turn)
            #expect(outcome?["state"] == "cancelled" && outcome?["reply"] == "too late")
        }
    }

    @Test("a turn that a newer one interrupts reaches the worker as a cancel, and ends as interrupted")
    func interrupt() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            let turn = try await self.submit(fixture, "c", "hello")
            let assignment = try await self.claim(worker, "one")
            let newer = #"{"input":"stop","on_busy":"interrupt"}"#
            let path = "/v1/agents/far/conversations/c/turns"
            #expect(try await fixture.client.send("POST", path, newer).status == 202)
            #expect(try await self.write(worker, assignment, "heartbeat").json()["cancel"] == true)
            let end = #","state":"cancelled","reply":"half""#
            #expect(try await self.write(worker, assignment, "outcome", end).json()["result"] == "settled")
            let outcome = try await self.outcome(fixture, turn)
            #expect(outcome?["code"] == "interrupted" && outcome?["reply"] == "half", "\(String(describing: outcome))")
        }
    }

    @Test("a turn that another kind of worker had parked is not begun anew by a remote one: it fails with what it said")
    func parked() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            let turn = try await self.submit(fixture, "c", "hello")
            let pool = ConnectionPool(
                configuration: .init(conninfo: fixture.conninfo, size: 1),
                reactor: try TestPlatform.reactor(),
                blocking: TestPlatform.blocking,
                log: .silent,
                metrics: Metrics()
            )
            // As if the agent's driver had been changed meanwhile.
            _ = try await pool.query(
                """
                INSERT INTO turnpike.parks (turn, conversation_id, continuation, said)
                SELECT turn, conversation_id, '', 'so far' FROM turnpike.turns WHERE turn = \(turn)::uuid
                """
            )
            let next = try await self.submit(fixture, "c", "next")
            let assignment = try await self.claim(worker, "one")
            #expect(assignment["turn"]?.text == next)
            let outcome = try await self.outcome(fixture, turn)
            #expect(outcome?["code"] == "protocol_error" && outcome?["reply"] == "so far")
        }
    }

    @Test("a worker's question is one question however often it asks, and people decide it")
    func question() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            _ = try await self.submit(fixture, "c", "hello")
            let assignment = try await self.claim(worker, "one")
            let asked = #"""
                ,"question":1,"tool":{"id":"1","name":"rm"},"arguments":{"path":"/"},"wait_seconds":0,
                "options":[{"id":"y","kind":"allow_once","name":"Yes"},{"id":"n","kind":"reject_once","name":"No"}]
                """#
            for _ in 0..<2 {
                let standing = try await self.write(worker, assignment, "approvals", asked).json()
                #expect(standing == ["state": "pending", "decision": .null])
            }
            let pending = try await fixture.client.send("GET", "/v1/approvals?state=pending").json()["approvals"]
            #expect(pending?.elements?.count == 1)
            let id = try #require(pending?.elements?.first?["id"]?.text)
            #expect(
                try await fixture.client.send("POST", "/v1/approvals/\(id)", #"{"decision":"allow"}"#).status == 200
            )
            let decided = try await self.write(worker, assignment, "approvals", asked).json()
            #expect(decided == ["state": "decided", "decision": "y"])
        }
    }

    @Test(
        "a turn for which a worker has no capacity goes to another account, and fails when there is none; pinned ones stay"
    )
    func noCapacity() async throws {
        try await APIFixture.with { fixture in
            let (a, b) = (try await self.enrol(fixture, "a"), try await self.enrol(fixture, "b"))
            let turn = try await self.submit(fixture, "c", "hello")
            // Both are there, one after the other gives it back, and then nobody is left.
            #expect(try await self.claim(b, "idle-b", wait: 0) != .null)
            let other = try await self.submit(fixture, "d", "hello")
            let first = try await self.claim(a, "a-1")
            #expect(first["turn"]?.text == other)
            let full = #","state":"failed","code":"no_capacity","message":"busy""#
            #expect(try await self.write(a, first, "outcome", full).json()["result"] == "requeued")
            #expect(try await self.claim(a, "a-2", wait: 0) == .null, "it is passed over")
            let second = try await self.claim(b, "b-1")
            #expect(second["turn"]?.text == other && second["attempt"] == 1, "nothing ran, so no attempt was spent")
            #expect(try await self.write(b, second, "outcome", full).json()["result"] == "settled")
            #expect(try await self.outcome(fixture, other)?["code"] == "no_capacity")

            let mine = try await self.claim(b, "idle-b", wait: 0)
            #expect(mine["turn"]?.text == turn)
            let done = #","state":"completed","reply":"x""#
            #expect(try await self.write(b, mine, "outcome", done).json()["result"] == "settled")
            let pinned = try await self.submit(fixture, "c", "again")
            let third = try await self.claim(b, "b-2")
            #expect(third["turn"]?.text == pinned)
            #expect(try await self.write(b, third, "outcome", full).json()["result"] == "settled")
            #expect(try await self.outcome(fixture, pinned)?["code"] == "no_capacity")
        }
    }

    @Test("an account's token opens what a worker needs, and nothing else")
    func token() async throws {
        try await APIFixture.with { fixture in
            let worker = try await self.enrol(fixture)
            for path in ["/v1/agents", "/v1/accounts", "/v1/tokens", "/v1/replicas", "/v1/agents/far/conversations"] {
                #expect(try await worker.send("GET", path).status == 403, "\(path)")
            }
            #expect(try await fixture.client.send("POST", "/v1/remote/claims", #"{"claim_key":"x"}"#).status == 403)
            #expect(try await fixture.stranger.send("POST", "/v1/remote/claims", #"{"claim_key":"x"}"#).status == 401)
            for wrong in [
                #"{}"#, #"{"claim_key":""}"#, #"{"claim_key":"x","lease_seconds":1}"#, #"{"claim_key":"x","y":1}"#,
            ] {
                #expect(try await worker.send("POST", "/v1/remote/claims", wrong).status == 400, "\(wrong)")
            }
            let remote = #"{"driver":"remote","command":["x"],"account":{"provider":"p"}}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/bad", remote).status == 400)
            #expect(try await fixture.client.send("PUT", "/v1/agents/bad", #"{"driver":"remote"}"#).status == 400)
            #expect(try await fixture.client.send("POST", "/v1/agents/far/check").status == 409)
        }
    }
}

extension JSONValue {
    /// The object with another value of a member.
    fileprivate func with(_ name: String, _ value: JSONValue?) -> JSONValue {
        guard case .object(var members) = self else { return self }
        members[name] = value
        return .object(members)
    }
}

extension APIFixture {
    /// The worker's desks on this replica and on another one of the same database.
    fileprivate func withPeerDesks<Value: Sendable>(
        of token: String,
        usesHints: Bool,
        _ body: @escaping @Sendable ([RemoteDesk]) async throws -> Value
    ) async throws -> Value {
        let result = Locked<Value?>(nil)
        try await self.withPeer(usesHints: usesHints) { peer in
            var desks: [RemoteDesk] = []
            for gateway in [self.gateway, peer] {
                let principal = try #require(try await gateway.authenticate(token))
                desks.append(try #require(gateway.remoteDesk(for: principal)))
            }
            let value = try await body(desks)
            result.withLock { $0 = value }
        }
        return try #require(result.withLock { $0 })
    }
}
