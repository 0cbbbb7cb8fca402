import Domain
import Foundation
import Gateway
import HTTP
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// Which backend serves a conversation: hinted at, followed and kept, whatever goes wrong with it.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ModelBackendTests {
    private static let hintHeader = Upstream.defaultHintHeader

    /// The hint of the newest call.
    private func hint(_ rig: ModelRig) -> String? { rig.upstream.requests.last?.headers[Self.hintHeader] }

    @Test("the backend that served last is hinted at with the next call, and a switch is followed, shown and logged")
    func followed() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            var turn = try await rig.begin()
            rig.upstream.serve(as: "one")
            #expect(try await rig.call(turn).status == 200)
            #expect(self.hint(rig) == nil)
            try await eventually("the hint") {
                _ = try await rig.call(turn)
                return self.hint(rig) == "one"
            }
            try await rig.end(turn)
            #expect(try await rig.shownBackend() == "one")
            turn = try await rig.begin()
            rig.upstream.serve(as: "two")
            #expect(try await rig.call(turn, #","prompt_cache_key":"mine""#).status == 200)
            #expect(self.hint(rig) == "one", "from the last turn")
            try await rig.end(turn)
            #expect(try await rig.backends() == ["one", "two"], "only changes are written")
            #expect(try await rig.shownBackend() == "two")
            let switches = try await rig.events().filter { $0["type"]?.text == "backend" }
            #expect(switches[0]["cache_key"]?.text == "acme/holder/c" && switches[0]["previous"] == nil)
            #expect(switches[1]["cache_key"]?.text == "mine" && switches[1]["previous"]?.text == "one")
            let lines = rig.fixture.lines.withLock { $0 }.filter { $0.contains("backend switched") }
            #expect(lines.count == 2 && lines.last?.contains(#""cache_key":"mine""#) == true)
            turn = try await rig.begin(conversation: "d")
            _ = try await rig.call(turn)
            #expect(self.hint(rig) == nil, "another conversation knows nothing of it")
            try await rig.end(turn)
        }
    }

    @Test("a database that does not take the backend loses nothing and fails no turn")
    func failingWrite() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            var turn = try await rig.begin()
            rig.upstream.serve(as: "one")
            _ = try await rig.call(turn)
            try await rig.end(turn)
            try await rig.sql(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'no backend today'; END $$
                """
            )
            let refuse: @Sendable () async throws -> Void = {
                try await rig.sql(
                    """
                    CREATE TRIGGER refuse BEFORE UPDATE OF backend ON turnpike.conversations
                    FOR EACH ROW EXECUTE FUNCTION refuse()
                    """
                )
            }
            try await refuse()
            rig.upstream.serve(as: "two")
            turn = try await rig.begin()
            for _ in 0..<3 {
                #expect(try await rig.call(turn).status == 200)
                #expect(self.hint(rig) == "one", "what is not written is not hinted at")
            }
            #expect(try await rig.end(turn) == "completed")
            #expect(try await rig.shownBackend() == "one")
            // Still in the way when the next sighting comes, gone when the turn ends.
            let failures: @Sendable () -> Double = {
                rig.fixture.metrics.value("turnpike_backend_switches_total", labels: ["result": "failed"])
            }
            turn = try await rig.begin()
            let before = failures()
            #expect(before >= 1)
            #expect(try await rig.call(turn).status == 200)
            try await eventually("a failed try") { failures() > before }
            try await rig.sql("DROP TRIGGER refuse ON turnpike.conversations")
            #expect(try await rig.end(turn) == "completed")
            #expect(try await rig.shownBackend() == "two", "written by the last try of the turn")
            #expect(try await rig.backends() == ["one", "two"])
            // And by the next sighting, within a turn.
            try await refuse()
            rig.upstream.serve(as: "three")
            turn = try await rig.begin()
            _ = try await rig.call(turn)
            try await rig.sql("DROP TRIGGER refuse ON turnpike.conversations")
            try await eventually("the next sighting's write") {
                _ = try await rig.call(turn)
                return self.hint(rig) == "three"
            }
            try await rig.end(turn)
            #expect(try await rig.backends() == ["one", "two", "three"])
        }
    }

    @Test("answers that overlap write one after the other, the latest last, and never the same twice in a row")
    func overlap() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let number = Locked(0)
            rig.upstream.answer { _ in
                let mine = number.withLock { number in
                    number += 1
                    return number
                }
                return ScriptedUpstream.completion("x", headers: [Self.hintHeader: "b\(mine % 3)"])
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<10 {
                            let answer = try await rig.call(turn)
                            #expect(answer.status == 200)
                        }
                    }
                }
                try await group.waitForAll()
            }
            rig.upstream.serve(as: "last")
            #expect(try await rig.call(turn).status == 200)
            rig.upstream.serve(as: "flap")
            #expect(try await rig.call(turn).status == 200)
            rig.upstream.serve(as: "last")
            #expect(try await rig.call(turn).status == 200)
            #expect(try await rig.end(turn) == "completed")
            let names = try await rig.backends()
            #expect(zip(names, names.dropFirst()).allSatisfy { $0 != $1 }, "\(names)")
            #expect(names.last == "last")
            #expect(try await rig.shownBackend() == "last")
            let log = try await rig.events().compactMap { $0["seq"]?.integer }
            #expect(log == Array(1...Int64(log.count)), "a log without a gap")
        }
    }

    @Test("a backend may be named by a member of the answer, whole or streamed; failures and other models name none")
    func members() async throws {
        try await ModelRig.with {
            $0.backend = .member("system_fingerprint")
            $0.hintHeader = "x-prefer"
        } _: { rig in
            try await rig.put()
            let turn = try await rig.begin()
            rig.upstream.answer { request in
                let name = request.query.first { $0.name == "x" }?.value ?? request.headers["OpenAI-Beta"] ?? "none"
                let body = #"{"choices":[],"system_fingerprint":"\#(name)"}"#
                guard request.headers["Accept"] == "text/event-stream" else {
                    let status = name == "failed" ? 500 : 200
                    return Response(
                        status: status,
                        headers: [Self.hintHeader: "no"],
                        text: body,
                        type: "application/json"
                    )
                }
                return Response.events { stream in
                    try await stream.event(data: #"{"type":"first"}"#)
                    try await stream.event(data: #"{"response":\#(body)}"#)
                    try await stream.event(data: "[DONE]")
                }
            }
            let calls: [(path: String, name: String, isStream: Bool)] = [
                ("chat/completions", "whole", false), ("chat/completions", "streamed", true),
                ("embeddings", "other", false),
                ("chat/completions", "failed", false),
            ]
            for call in calls {
                var headers = ["OpenAI-Beta": call.name]
                if call.isStream { headers["Accept"] = "text/event-stream" }
                _ = try await rig.model(turn).send("POST", "/v1/\(call.path)", #"{"model":"m"}"#, headers: headers)
            }
            try await eventually("the hint") {
                let headers = ["OpenAI-Beta": "streamed"]
                _ = try await rig.model(turn).send("POST", "/v1/chat/completions", #"{"model":"m"}"#, headers: headers)
                return rig.upstream.requests.last?.headers["x-prefer"] == "streamed"
            }
            try await rig.end(turn)
            let names = try await rig.backends()
            #expect(names == ["whole", "streamed"] || names == ["streamed"], "an overlapped one need not be written")
        }
    }

    @Test("a worker may name its backend itself, and only changes are written")
    func named() async throws {
        try await ModelRig.with { rig in
            try await rig.put(driver: .acp)
            for text in ["backend a", "backend a a a", "backend b", "backend b a b", "backend b"] {
                #expect(try await rig.outcome(try await rig.submit(text))["state"]?.text == "completed")
            }
            let names = try await rig.backends()
            #expect(names.first == "a" && names.last == "b" && zip(names, names.dropFirst()).allSatisfy { $0 != $1 })
            #expect(try await rig.shownBackend() == "b")
            let log = try await rig.events().compactMap { $0["seq"]?.integer }
            #expect(log == Array(1...Int64(log.count)), "written beside the batches of the reply, without a gap")
            let turn = try await rig.begin(verb: "hold ")
            rig.upstream.serve(as: "b")
            _ = try await rig.call(turn)
            #expect(self.hint(rig) == "b")
            try await rig.end(turn)
        }
    }
}
