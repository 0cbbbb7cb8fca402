import Domain
import Gateway
import Runtime
import TestKit
import Testing

@testable import API

/// What the routes do, over sockets, down to PostgreSQL and a worker.
@Suite(.serialized)
struct ServedTests {
    private static let conversation = "/v1/agents/default/conversations/c"

    @Test("a turn is accepted, answered, and read back")
    func turn() async throws {
        try await APIFixture.with { fixture in
            let path = Self.conversation
            let accepted = try await fixture.client.send("POST", "\(path)/turns", #"{"input":"hello"}"#)
            #expect(accepted.status == 202)
            let turn = try #require(try accepted.json()["turn"])
            let id = try #require(turn["id"]?.text)
            #expect(accepted.headers["location"] == "/v1/turns/\(id)")
            #expect(turn["seq"]?.integer == 1)
            #expect(turn["position"]?.integer == 0)
            #expect(turn["conversation"]?.text == "c")
            let ended = try await fixture.client.send("GET", "/v1/turns/\(id)?wait=20").json()["turn"]
            #expect(ended?["state"]?.text == "completed")
            #expect(ended?["outcome"]?["reply"]?.text == "hello")
            let cancel = try await fixture.client.send("POST", "/v1/turns/\(id)/cancel")
            #expect(cancel.status == 409)
            #expect(cancel.headers["x-should-retry"] == "false")

            let events = try await fixture.client.send(
                "GET",
                "\(path)/events",
                headers: ["Accept": "application/json"]
            ).json()
            let types = (events["events"]?.elements ?? []).compactMap { $0["type"]?.text }
            #expect(types.first == "turn.queued")
            #expect(types.last == "turn.completed")
            #expect(events["next"] == .null)
            let shown = try await fixture.client.send("GET", path).json()
            #expect(shown["last_turn"]?.integer == 1)
        }
    }

    @Test("a submission that asks for a stream gets its turn's events up to the outcome, and the stream ends")
    func streamed() async throws {
        try await APIFixture.with { fixture in
            _ = try await fixture.client.send("POST", "\(Self.conversation)/turns", #"{"input":"first"}"#)
            for target in ["\(Self.conversation)/turns", "/v1/agents/default/turns"] {
                let answer = try await fixture.client.send(
                    "POST",
                    target,
                    #"{"input":"to be streamed"}"#,
                    headers: ["Accept": "text/event-stream", "Idempotency-Key": target]
                )
                #expect(answer.status == 200)
                #expect(answer.headers["content-type"] == "text/event-stream")
                let events = answer.events
                #expect(events.first?.type == "turn.queued")
                #expect(events.last?.type == "turn.completed")
                #expect(events.last?.data["reply"]?.text == "to be streamed")
                #expect(Set(events.map { $0.data["turn"]?.text }).count == 1)
                #expect(events.map(\.id) == events.map { String($0.data["seq"]?.integer ?? -1) })
                let again = try await fixture.client.send(
                    "POST",
                    target,
                    #"{"input":"to be streamed"}"#,
                    headers: ["Accept": "text/event-stream", "Idempotency-Key": target]
                )
                #expect(again.events.map(\.id) == events.map(\.id), "the same turn is told again")
            }
        }
    }

    @Test("a reader that comes back goes on where it stopped")
    func resumed() async throws {
        try await APIFixture.with { fixture in
            let path = Self.conversation
            for text in ["one", "two"] {
                _ = try await fixture.client.send(
                    "POST",
                    "\(path)/turns",
                    #"{"input":"\#(text)"}"#,
                    headers: ["Accept": "text/event-stream"]
                )
            }
            let isWhole: @Sendable (String) -> Bool = { $0.split(separator: "event: turn.completed").count > 2 }
            let all = try await fixture.client.send("GET", "\(path)/events", enough: isWhole).events
            let ids = all.compactMap { Int($0.id) }
            #expect(ids == Array(1...ids.count))
            let last = try #require(ids.last)
            for split in 1..<last {
                let rest = try await fixture.client.send(
                    "GET",
                    "\(path)/events?after=0",
                    headers: ["Last-Event-ID": "\(split)"],
                    enough: { $0.contains("id: \(last)\n") && $0.hasSuffix("\n\n\r\n") }
                ).events
                #expect(rest.compactMap { Int($0.id) } == Array(ids[split...]))
            }
            let turn = try #require(all.last?.data["turn"]?.text)
            let page = try await fixture.client.send(
                "GET",
                "\(path)/events?turn=\(turn)&limit=1",
                headers: ["Accept": "application/json"]
            ).json()
            #expect(page["events"]?.elements?.count == 1)
            #expect(page["events"]?.elements?.first?["turn"]?.text == turn)
            #expect(page["next"]?.integer == page["events"]?.elements?.first?["seq"]?.integer)
        }
    }

    @Test("the same key gives the same turn, and another body with it a conflict")
    func idempotent() async throws {
        try await APIFixture.with { fixture in
            let target = "\(Self.conversation)/turns"
            let key = ["Idempotency-Key": "k-1"]
            let first = try await fixture.client.send("POST", target, #"{"input":"x"}"#, headers: key)
            #expect(first.status == 202)
            let second = try await fixture.client.send("POST", target, #"{"input":"x","client_key":"k-1"}"#)
            #expect(second.status == 200)
            #expect(try second.json()["turn"]?["id"] == first.json()["turn"]?["id"])
            let other = try await fixture.client.send("POST", target, #"{"input":"y"}"#, headers: key)
            #expect(other.status == 409)
            #expect(other.code == "idempotency_conflict")
            #expect(other.headers["x-should-retry"] == "false")
            let elsewhere = try await fixture.client.send(
                "POST",
                "/v1/agents/default/conversations/d/turns",
                #"{"input":"x"}"#,
                headers: key
            )
            #expect(elsewhere.code == "idempotency_conflict")
        }
    }

    @Test("conversations are listed in pages without a gap, and a deleted one stays gone")
    func conversations() async throws {
        try await APIFixture.with { fixture in
            let list = "/v1/agents/default/conversations"
            for index in 0..<5 {
                _ = try await fixture.client.send("POST", "\(list)/c\(index)/turns", #"{"input":"x"}"#)
            }
            var (seen, after): ([String], String?) = ([], nil)
            repeat {
                let cursor = after.map { "&after=\($0)" } ?? ""
                let page = try await fixture.client.send("GET", "\(list)?limit=2\(cursor)").json()
                seen += (page["conversations"]?.elements ?? []).compactMap { $0["id"]?.text }
                after = page["next"]?.text
            } while after != nil
            #expect(seen == ["c0", "c1", "c2", "c3", "c4"])
            #expect(try await fixture.client.send("DELETE", "\(list)/c1").status == 204)
            for (method, suffix, body) in [
                ("GET", "", nil), ("DELETE", "", nil), ("GET", "/events", nil), ("POST", "/turns", #"{"input":"x"}"#),
            ] as [(String, String, String?)] {
                let answer = try await fixture.client.send(method, "\(list)/c1\(suffix)", body)
                #expect(answer.status == 410, "\(method) \(suffix)")
                #expect(answer.code == "deleted")
            }
        }
    }

    @Test("a stranger from another organization finds nothing, under the same answer as for nothing")
    func tenants() async throws {
        try await APIFixture.with { fixture in
            let made = try await fixture.client.send("POST", "\(Self.conversation)/turns", #"{"input":"secret"}"#)
            let id = try #require(try made.json()["turn"]?["id"]?.text)
            let other = try await fixture.client(of: "rival", [.admin])
            for (method, target) in [
                ("GET", "/v1/turns/\(id)"), ("POST", "/v1/turns/\(id)/cancel"), ("GET", Self.conversation),
                ("GET", "\(Self.conversation)/events"), ("DELETE", Self.conversation),
            ] {
                let answer = try await other.send(method, target)
                #expect(answer.status == 404, "\(method) \(target)")
                #expect(answer.code == "not_found")
                #expect(!answer.text.contains("secret"))
            }
            let list = try await other.send("GET", "/v1/agents/default/conversations").json()
            #expect(list["conversations"]?.elements?.isEmpty == true)
        }
    }

    @Test("agents are put, shown in the same shape, listed and deleted")
    func agents() async throws {
        try await APIFixture.with { fixture in
            let body = #"{"driver":"command","command":["cat"],"limits":{"turn_seconds":5}}"#
            let put = try await fixture.client.send("PUT", "/v1/agents/copy", body).json()
            #expect(put["version"]?.integer == 1)
            #expect(put["configuration"]?["limits"]?["turn_seconds"]?.integer == 5)
            let shown = try await fixture.client.send("GET", "/v1/agents/copy").json()
            #expect(shown == put)
            let configuration = try #require(shown["configuration"])
            let text = String(decoding: JSONWriter.text(configuration), as: UTF8.self)
            #expect(try await fixture.client.send("PUT", "/v1/agents/copy", text).status == 200)
            let list = try await fixture.client.send("GET", "/v1/agents").json()
            #expect((list["agents"]?.elements ?? []).compactMap { $0["id"]?.text } == ["copy", "default"])
            #expect(try await fixture.client.send("DELETE", "/v1/agents/copy").status == 204)
            #expect(try await fixture.client.send("GET", "/v1/agents/copy").status == 404)
        }
    }

    @Test("operators see the installation and make organizations")
    func operators() async throws {
        try await APIFixture.with { fixture in
            let made = try await fixture.client.send("PUT", "/v1/organizations/new")
            #expect(try made.json()["id"]?.text == "new")
            #expect(try await fixture.client.send("PUT", "/v1/organizations/new", "{}").status == 200)
            try await eventually("this replica among the replicas") {
                let replicas = try await fixture.client.send("GET", "/v1/replicas").json()
                return replicas["replicas"]?.elements?.count == 1
            }
            let workers = try await fixture.client.send("GET", "/v1/workers").json()
            #expect(workers["workers"]?.elements?.isEmpty == true)
            #expect(workers["circuits"]?.elements?.isEmpty == true)
            let letters = try await fixture.client.send("GET", "/v1/dead-letters").json()
            #expect(letters["dead_letters"]?.elements?.isEmpty == true)
        }
    }

    @Test("organizations are listed in pages, by name")
    func organizations() async throws {
        try await APIFixture.with { fixture in
            for name in ["b", "acme"] { _ = try await fixture.client.send("PUT", "/v1/organizations/\(name)") }
            let first = try await fixture.client.send("GET", "/v1/organizations?limit=2").json()
            #expect((first["organizations"]?.elements ?? []).compactMap { $0["id"]?.text } == ["acme", "b"])
            #expect(first["next"]?.text == "b")
            let rest = try await fixture.client.send("GET", "/v1/organizations?after=b").json()
            #expect((rest["organizations"]?.elements ?? []).compactMap { $0["id"]?.text } == ["default"])
            #expect(rest["next"]?.text == nil)
            #expect(try await fixture.client.send("GET", "/v1/organizations?after=%20").status == 400)
        }
    }

    @Test("a dead letter is sent again once, as a turn of its own, and its outcome stays")
    func redrive() async throws {
        try await APIFixture.with { fixture in
            let client = fixture.client
            let failing = #"{"driver":"command","command":["false"],"retries":1}"#
            #expect(try await client.send("PUT", "/v1/agents/copy", failing).status == 200)
            let path = "/v1/agents/copy/conversations/c/turns"
            let accepted = try await client.send("POST", path, #"{"input":"hello"}"#).json()
            let dead = try #require(accepted["turn"]?["id"]?.text)
            try await eventually("the dead letter") {
                let letters = try await client.send("GET", "/v1/dead-letters").json()["dead_letters"]?.elements
                return letters?.first?["turn"]?.text == dead
            }
            let present = #"{"driver":"command","command":["cat"]}"#
            #expect(try await client.send("PUT", "/v1/agents/copy", present).status == 200)
            let again = try await client.send("POST", "/v1/dead-letters/\(dead)/redrive")
            let fresh = try #require(try again.json()["dead_letter"]?["redriven_as"]?.text)
            #expect(again.status == 202 && fresh != dead)
            let repeated = try await client.send("POST", "/v1/dead-letters/\(dead)/redrive", "{}")
            #expect(try repeated.status == 200 && repeated.json()["dead_letter"]?["redriven_as"]?.text == fresh)
            let turn = try await client.send("GET", "/v1/turns/\(fresh)?wait=20").json()["turn"]
            #expect(turn?["state"]?.text == "completed" && turn?["outcome"]?["reply"]?.text == "hello")
            #expect(try await client.send("GET", "/v1/turns/\(dead)").json()["turn"]?["state"]?.text == "failed")
            #expect(try await client.send("POST", "/v1/dead-letters/\(fresh)/redrive").status == 404)
            let audit = try await client.send("GET", "/v1/audit").json()["entries"]?.elements ?? []
            #expect(audit.count { $0["action"]?.text == "dead_letter.redrive" } == 1)
        }
    }

    @Test("while a turn runs others queue, are refused as busy or as too many, and it can be cancelled")
    func busy() async throws {
        var limits = Limits()
        limits.queuedTurnsPerConversation = 2
        try await APIFixture.with(limits: limits) { fixture in
            let slow = #"{"driver":"command","command":["sleep","60"],"limits":{"grace_seconds":1}}"#
            #expect(try await fixture.client.send("PUT", "/v1/agents/slow", slow).status == 200)
            let path = "/v1/agents/slow/conversations/c/turns"
            let first = try await fixture.client.send("POST", path, #"{"input":"x"}"#).json()
            let id = try #require(first["turn"]?["id"]?.text)
            try await eventually("the turn to run") {
                try await fixture.client.send("GET", "/v1/turns/\(id)").json()["turn"]?["state"]?.text == "running"
            }
            let second = try await fixture.client.send("POST", path, #"{"input":"x"}"#).json()["turn"]
            #expect(second?["position"]?.integer == 1)
            let busy = try await fixture.client.send("POST", path, #"{"input":"x","on_busy":"reject"}"#)
            #expect(busy.code == "conversation_busy")
            #expect(try busy.json()["error"]?["position"]?.integer == 2)
            #expect(busy.headers["x-should-retry"] == "false")
            #expect(try await fixture.client.send("POST", path, #"{"input":"x"}"#).status == 202)
            let full = try await fixture.client.send("POST", path, #"{"input":"x"}"#)
            #expect(full.status == 429)
            #expect(full.headers["retry-after"] == "1")
            let queued = try #require(second?["id"]?.text)
            #expect(try await fixture.client.send("POST", "/v1/turns/\(queued)/cancel").status == 200)
            let told = try await fixture.client.send("POST", "/v1/turns/\(id)/cancel", #"{"reason":"x"}"#)
            #expect(told.code == "invalid_request")
            let cancelled = try await fixture.client.send("POST", "/v1/turns/\(id)/cancel")
            #expect(cancelled.status == 202 || cancelled.status == 200)
            let ended = try await fixture.client.send("GET", "/v1/turns/\(id)?wait=20").json()["turn"]
            #expect(ended?["state"]?.text == "cancelled")
            // The third turn runs now; nobody waits for it.
            let deleted = try await fixture.client.send("DELETE", "/v1/agents/slow/conversations/c")
            #expect(deleted.status == 204)
        }
    }

    @Test("a replica that leaves says so to its balancer, and still answers")
    func draining() async throws {
        try await APIFixture.with { fixture in
            #expect(try await fixture.stranger.send("GET", "/readyz").status == 200)
            fixture.gateway.beginDraining()
            let answer = try await fixture.stranger.send("GET", "/readyz")
            #expect(answer.status == 503)
            #expect(answer.code == "not_ready")
            #expect(try await fixture.stranger.send("GET", "/livez").status == 200)
            #expect(try await fixture.client.send("GET", "/v1/agents").status == 200)
        }
    }

    @Test("a replica that is stopped just as it claims a turn ends with it")
    func stoppedWhileClaiming() async throws {
        for round in 0..<12 {
            let returned = Locked(ContinuousClock.now)
            try await APIFixture.with { fixture in
                _ = try await fixture.client.send("POST", "\(Self.conversation)/turns", #"{"input":"x"}"#)
                // Into the claim, into the term, into the start of the worker.
                try await Task.sleep(for: .milliseconds(round * 2))
                returned.withLock { $0 = .now }
            }
            #expect(
                ContinuousClock.now - returned.withLock { $0 } < .seconds(8),
                "less than the patience with a stuck service"
            )
        }
    }

    @Test("a silent stream is kept alive by comments")
    func keepalive() async throws {
        var limits = Limits()
        limits.streamKeepalive = .milliseconds(100)
        try await APIFixture.with(limits: limits) { fixture in
            let path = Self.conversation
            _ = try await fixture.client.send(
                "POST",
                "\(path)/turns",
                #"{"input":"x"}"#,
                headers: ["Accept": "text/event-stream"]
            )
            let stream = try await fixture.client.send(
                "GET",
                "\(path)/events",
                enough: { $0.split(separator: ": \n\n", omittingEmptySubsequences: false).count > 2 }
            )
            #expect(stream.events.last?.type == "turn.completed")
        }
    }
}
