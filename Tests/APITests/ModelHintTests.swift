import Domain
import Gateway
import HTTP
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// When a backend that is known is not hinted at: a hint binds nobody, and is no reason to wait.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ModelHintTests {
    private static let hintHeader = Upstream.defaultHintHeader

    private func hint(_ rig: ModelRig) -> String? { rig.upstream.requests.last?.headers[Self.hintHeader] }

    private func withheld(_ rig: ModelRig, _ reason: String) -> Double {
        rig.fixture.metrics.value("turnpike_backend_hints_withheld_total", labels: ["reason": reason])
    }

    @Test("a backend that has no room is not hinted at again until it serves, whatever the answer is that says so")
    func overloaded() async throws {
        var limits = Limits()
        limits.modelFirstByte = .milliseconds(300)
        try await ModelRig.with(limits: limits) { rig in
            try await rig.put()
            let turn = try await rig.begin()
            rig.upstream.serve(as: "one")
            try await eventually("the hint") {
                _ = try await rig.call(turn)
                return self.hint(rig) == "one"
            }
            for (count, status) in [429, 502, 503, 504, 529].enumerated() {
                rig.upstream.answer { _ in Response(status: status, text: "full") }
                _ = try await rig.call(turn, path: "/v1/embeddings")
                #expect(self.withheld(rig, "overloaded") == Double(count), "embeddings are other models'")
                #expect(try await rig.call(turn).status == status)
                #expect(self.hint(rig) == "one", "the first time it was")
                #expect(try await rig.call(turn).status == status)
                #expect(self.hint(rig) == nil, "not after \(status)")
                #expect(self.withheld(rig, "overloaded") == Double(count + 1))
                rig.upstream.serve(as: "one")
                #expect(try await rig.call(turn).status == 200)
                #expect(try await rig.call(turn).status == 200)
                #expect(self.hint(rig) == "one", "it serves again")
            }
            rig.upstream.answer { _ in
                try await Task.sleep(for: .seconds(2))
                return ScriptedUpstream.completion("late")
            }
            #expect(try await rig.call(turn).status == 504)
            rig.upstream.serve(as: "two")
            #expect(try await rig.call(turn).status == 200)
            #expect(self.hint(rig) == nil, "nor after a silence")
            try await eventually("the switch") {
                _ = try await rig.call(turn)
                return self.hint(rig) == "two"
            }
            try await rig.end(turn)
            #expect(try await rig.backends() == ["one", "two"], "what is withheld is not forgotten")
        }
    }

    @Test("after a long silence of its conversation a backend is not hinted at, and the record of switches has no gap")
    func stale() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            var turn = try await rig.begin()
            rig.upstream.serve(as: "one")
            #expect(try await rig.call(turn).status == 200)
            try await rig.end(turn)
            try await rig.sql("UPDATE turnpike.turns SET ended_at = ended_at - interval '2 hours'")
            turn = try await rig.begin()
            #expect(try await rig.call(turn).status == 200)
            #expect(self.hint(rig) == nil)
            #expect(try await rig.call(turn).status == 200)
            #expect(self.hint(rig) == "one", "it has served since")
            #expect(self.withheld(rig, "stale") == 1)
            try await rig.end(turn)
            try await rig.sql("UPDATE turnpike.turns SET ended_at = ended_at - interval '2 hours'")
            turn = try await rig.begin()
            rig.upstream.serve(as: "two")
            #expect(try await rig.call(turn).status == 200)
            #expect(self.hint(rig) == nil)
            try await rig.end(turn)
            let switches = try await rig.events().filter { $0["type"]?.text == "backend" }
            #expect(switches.map { $0["id"]?.text } == ["one", "two"])
            #expect(switches.last?["previous"]?.text == "one")
        }
    }
}
