import Domain
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// What a worker's token is good for, and when.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ModelTokenTests {
    @Test("only the token of a turn that runs, under its own fence, is good for anything")
    func tokens() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let body = #"{"model":"m"}"#
            let wrong: [[String: String]] = [
                [:], ["Authorization": "Bearer tpw_0"], ["Authorization": "Bearer \(rig.fixture.client.token ?? "")"],
                ["Authorization": "Bearer \(turn.tokens[0])x"], ["x-api-key": ""],
                ["Authorization": "Bearer \(turn.tokens[0])", "x-api-key": turn.tokens[0]],
            ]
            for headers in wrong {
                let stranger = Probe(port: rig.port)
                let answer = try await stranger.send("POST", "/v1/chat/completions", body, headers: headers)
                #expect(answer.status == 401 && answer.code == "invalid_token", "\(headers.keys)")
            }
            #expect(rig.upstream.requests.isEmpty)
            #expect(try await rig.fixture.client.send("GET", "/v1/agents").status == 200)
            let asToken = Probe(port: rig.fixture.port, token: turn.tokens[0])
            #expect(try await asToken.send("GET", "/v1/agents").status == 401, "a worker's token opens no other door")
            #expect(try await rig.call(turn).status == 200)
            try await rig.end(turn)
            #expect(try await rig.call(turn).status == 401, "its turn is over")
            let next = try await rig.begin()
            #expect(next.tokens != turn.tokens)
            #expect(try await rig.call(turn).status == 401, "another turn's token is none")
            #expect(try await rig.call(next).status == 200)
            try await rig.sql(
                "UPDATE turnpike.conversations SET owner_nonce = gen_random_uuid() WHERE running IS NOT NULL"
            )
            #expect(try await rig.call(next).status == 401, "another term's, by the nonce alone")
            #expect(rig.upstream.requests.count == 2)
        }
    }

    @Test(
        "the token of a process that outlives its turns is good within them only, and each turn has its own beside it"
    )
    func longLived() async throws {
        try await ModelRig.with { rig in
            try await rig.put(driver: .acp)
            var seen: [[String]] = []
            for _ in 0..<2 {
                let turn = try await rig.begin(verb: "hold ")
                seen.append(turn.tokens)
                for token in turn.tokens {
                    let probe = Probe(port: rig.port, token: token)
                    #expect(try await probe.send("POST", "/v1/responses", #"{"model":"m"}"#).status == 200)
                }
                #expect(try await rig.end(turn) == "completed")
                for token in turn.tokens {
                    let probe = Probe(port: rig.port, token: token)
                    #expect(try await probe.send("POST", "/v1/responses", #"{"model":"m"}"#).status == 401)
                }
            }
            #expect(
                seen[0].count == 2 && seen[0][0] == seen[1][0],
                "the process is the same, and so is its environment"
            )
            #expect(seen[0][1] != seen[1][1])
            let earlier = Probe(port: rig.port, token: seen[0][1])
            let turn = try await rig.begin(verb: "hold ")
            #expect(try await earlier.send("POST", "/v1/responses", #"{"model":"m"}"#).status == 401)
            try await rig.end(turn)
            for verb in ["call", "call-own"] {
                let outcome = try await rig.outcome(try await rig.submit(verb))
                #expect(outcome["reply"]?.text?.hasPrefix("200 ") == true, "\(outcome)")
            }
        }
    }

    @Test("a spare's token is made before there is a conversation, and good once it has one")
    func spare() async throws {
        try await ModelRig.with { rig in
            try await rig.put(driver: .acp, warm: 1)
            for conversation in ["a", "b"] {
                try await eventually("a spare") {
                    _ = rig.fixture.metrics.render()
                    return rig.fixture.metrics.value("turnpike_workers", labels: ["state": "spare"]) == 1
                }
                let turn = try await rig.begin(conversation: conversation, verb: "hold ")
                #expect(try await rig.call(turn).status == 200)
                try await rig.end(turn)
            }
            #expect(rig.fixture.metrics.value("turnpike_spares_total", labels: ["result": "bound"]) == 2)
        }
    }
}
