import Domain
import Foundation
import Gateway
import HTTP
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// Calls to models in the name of real turns, over sockets.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ModelProxyTests {
    @Test("a call goes out with the gateway's key and comes back byte for byte, its head sifted both ways")
    func whole() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let noise = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 7) }
            rig.upstream.answer { _ in
                Response(
                    status: 200,
                    headers: [
                        "Content-Type": "application/octet-stream", "X-RateLimit-Remaining": "7", "Set-Cookie": "a=b",
                        "Server": "theirs", "OpenAI-Processing-Ms": "5", "Alt-Svc": "h3", "X-Key": ModelRig.key,
                    ],
                    body: .bytes(noise)
                )
            }
            let text = #"{ "model" : "m\u0031", "messages":[{"content":"a\u0000b"}], "deep": [[[{}]]], "n": 1.0e5 }"#
            let headers = ["Cookie": "c", "X-Secret": "s", "OpenAI-Beta": "x=v2", "Accept": "text/event-stream"]
            for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"] {
                let answer = try await rig.model(turn).send("POST", path, text, headers: headers)
                #expect(answer.status == 200 && answer.body == noise)
                #expect(answer.headers["content-type"] == "application/octet-stream")
                #expect(answer.headers["x-ratelimit-remaining"] == "7" && answer.headers["openai-processing-ms"] == "5")
                for name in ["set-cookie", "server", "alt-svc", "x-key"] {
                    #expect(answer.headers[name] == nil, "\(name)")
                }
                let request = try #require(rig.upstream.requests.last)
                #expect(request.target == path && request.body == Array(text.utf8))
                #expect(request.headers.all("Authorization") == ["Bearer \(ModelRig.key)"])
                #expect(request.headers["OpenAI-Beta"] == "x=v2" && request.headers["Accept"] == "text/event-stream")
                #expect(request.headers["Content-Type"] == "application/json")
                for name in ["Cookie", "X-Secret"] { #expect(request.headers[name] == nil, "\(name)") }
                #expect(!request.headers.lines.contains { $0.value.contains("tpw_") })
            }
            #expect(try await rig.model(turn).send("GET", "/v1/models").status == 200)
            #expect(rig.upstream.requests.last?.method == "GET")
            #expect(try await rig.end(turn) == "completed")
            #expect(!rig.fixture.lines.withLock { $0 }.joined().contains(ModelRig.key))
        }
    }

    @Test("the key can go in the other dialect's header, and a worker's token may come in it")
    func otherDialect() async throws {
        try await ModelRig.with {
            $0.keyHeader = .apiKey
        } _: { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let headers = ["x-api-key": turn.tokens[0], "anthropic-version": "2023-06-01"]
            let answer = try await Probe(port: rig.port).send(
                "POST",
                "/v1/messages",
                #"{"model":"m"}"#,
                headers: headers
            )
            #expect(answer.status == 200)
            let request = try #require(rig.upstream.requests.last)
            #expect(request.headers.all("x-api-key") == [ModelRig.key] && request.headers["Authorization"] == nil)
            #expect(request.headers["anthropic-version"] == "2023-06-01")
            try await rig.end(turn)
        }
    }

    @Test("each piece of a streamed answer is there before the next one is sent")
    func streamed() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let (seen, pieces) = (Locked(0), 30)
            let frames = (0..<pieces).map { "data: {\"n\":\($0),\"text\":\"\u{e9}\"}\n\n" } + ["data: [DONE]\n\n"]
            rig.upstream.answer { _ in
                Response(
                    status: 200,
                    headers: EventStream.headers,
                    body: .stream { writer in
                        for (number, frame) in frames.enumerated() {
                            try await writer.write(Array(frame.utf8))
                            while seen.withLock({ $0 }) < number { try await Task.sleep(for: .milliseconds(1)) }
                        }
                    }
                )
            }
            let body = #"{"model":"m","stream":true}"#
            let answer = try await rig.model(turn).send("POST", "/v1/chat/completions", body) { text in
                seen.withLock { $0 = text.components(separatedBy: "data:").count - 1 }
                return false
            }
            #expect(answer.text == frames.joined() && answer.headers["content-type"] == "text/event-stream")
            try await rig.end(turn)
        }
    }

    @Test("what an upstream refuses or fails at is passed on in its shape")
    func upstreamErrors() async throws {
        try await ModelRig.with { rig in
            try await rig.put()
            let turn = try await rig.begin()
            for status in [400, 403, 404, 409, 413, 422, 429, 500, 503, 529] {
                rig.upstream.answer { _ in
                    Response(
                        status: status,
                        headers: ["Retry-After": "7", "retry-after-ms": "6900", "x-should-retry": "true"],
                        text: #"{"error":{"message":"no \#(status)","type":"theirs"}}"#,
                        type: "application/json"
                    )
                }
                let answer = try await rig.call(turn)
                #expect(answer.status == status && answer.headers["retry-after"] == "7")
                #expect(answer.headers["retry-after-ms"] == "6900" && answer.headers["x-should-retry"] == "true")
                #expect(answer.text == #"{"error":{"message":"no \#(status)","type":"theirs"}}"#)
            }
            for (status, code) in [
                (401, "upstream_key_refused"), (302, "upstream_broken"), (204 + 100, "upstream_broken"),
            ] {
                rig.upstream.answer { request in
                    let given = request.headers["Authorization"] ?? ""
                    return Response(
                        status: status,
                        headers: ["Location": "http://127.0.0.1:1/"],
                        text: "bad key \(given)"
                    )
                }
                let answer = try await rig.call(turn)
                #expect(answer.status == 502 && answer.code == code, "\(status)")
                #expect(!answer.text.contains(ModelRig.key) && answer.headers["location"] == nil)
            }
            #expect(try await rig.end(turn) == "completed", "the turn goes on whatever its model does")
        }
    }

    @Test(
        "an upstream that is not there is 502, one that does not answer is 504, and one that breaks off is no whole answer"
    )
    func absentUpstream() async throws {
        var limits = Limits()
        limits.modelFirstByte = .milliseconds(200)
        try await ModelRig.with(limits: limits) { rig in
            try await rig.put("lonely") { $0.upstream = "nobody" }
            let lonely = try await rig.begin(agent: "lonely")
            let refused = try await rig.call(lonely)
            #expect(refused.status == 502 && refused.code == "upstream_unreachable")
            try await rig.end(lonely)
            try await rig.put()
            let turn = try await rig.begin()
            rig.upstream.answer { _ in
                try await Task.sleep(for: .seconds(30))
                return Response(status: 204)
            }
            let late = try await rig.call(turn)
            #expect(late.status == 504 && late.code == "upstream_late")
            struct Broken: Error {}
            rig.upstream.answer { _ in
                Response(
                    status: 200,
                    body: .stream { writer in
                        try await writer.write(Array("half".utf8))
                        throw Broken()
                    }
                )
            }
            let raw = try await rig.raw(turn)
            #expect(raw.contains("4\r\nhalf\r\n") && !raw.hasSuffix("0\r\n\r\n"), "\(raw)")
            try await rig.end(turn)
        }
    }

    @Test(
        "a stream is cut when its turn ends, when its fence is lost, and when its worker leaves; the upstream learns of it"
    )
    func cut() async throws {
        var limits = Limits()
        limits.modelRecheck = .milliseconds(50)
        try await ModelRig.with(limits: limits) { rig in
            try await rig.put()
            let (open, sent) = (Locked(0), Locked(0))
            rig.upstream.answer { _ in
                Response(
                    status: 200,
                    headers: EventStream.headers,
                    body: .stream { writer in
                        open.withLock { $0 += 1 }
                        defer { open.withLock { $0 -= 1 } }
                        while true {
                            try await writer.write(Array("data: x\n\n".utf8))
                            sent.withLock { $0 += 1 }
                            try await Task.sleep(for: .milliseconds(5))
                        }
                    }
                )
            }
            for way in ["turn", "fence", "worker"] {
                let turn = try await rig.begin(conversation: way)
                let before = sent.withLock { $0 }
                async let text = rig.raw(turn) { way == "worker" && $0.contains("data: x") }
                try await eventually("the stream") { sent.withLock { $0 } > before }
                switch way {
                case "turn": #expect(try await rig.end(turn) == "completed")
                case "fence":
                    try await rig.sql(
                        "UPDATE turnpike.conversations SET epoch = epoch + 1 WHERE conversation = 'fence'"
                    )
                default: break
                }
                let received = try await text
                #expect(received.contains("data: x") && !received.hasSuffix("0\r\n\r\n"), "\(way)")
                try await eventually("the upstream to learn of it, \(way)") { open.withLock { $0 } == 0 }
                if way == "worker" { try await rig.end(turn) }
            }
        }
    }

    @Test("calls, tokens, bytes and models are the agent's to bound, and upstreams the operator's")
    func bounds() async throws {
        try await ModelRig.with { rig in
            try await rig.put { ($0.calls, $0.models) = (2, ["m", "gpt-*"]) }
            var turn = try await rig.begin()
            for (body, status, code) in [
                ("{}", 400, "invalid_request"), (#"{"model":7}"#, 400, "invalid_request"),
                ("x", 400, "invalid_request"),
                (#"{"model":"m","model":"other"}"#, 400, "invalid_request"),
                (#"{"model":"m","mod\u0065l":"other"}"#, 400, "invalid_request"),
                (#"{"model":"other"}"#, 403, "model_not_allowed"),
            ] {
                let answer = try await rig.model(turn).send("POST", "/v1/responses", body)
                #expect(answer.status == status && answer.code == code, "\(body): \(answer.text)")
            }
            #expect(try await rig.model(turn).send("POST", "/v1/files", "{}").status == 404)
            #expect(rig.upstream.requests.isEmpty)
            for _ in 0..<2 { #expect(try await rig.call(turn).status == 200) }
            let spent = try await rig.call(turn)
            #expect(spent.status == 429 && spent.code == "budget_spent" && spent.headers["x-should-retry"] == "false")
            #expect(rig.upstream.requests.count == 2)
            try await rig.end(turn)
            turn = try await rig.begin()
            #expect(try await rig.call(turn).status == 200, "the next turn has its own")
            try await rig.end(turn)

            try await rig.put("thrifty") { $0.tokens = 100 }
            turn = try await rig.begin(agent: "thrifty")
            rig.upstream.answer { _ in ScriptedUpstream.completion("x", tokens: 60) }
            #expect(try await rig.call(turn).status == 200)
            #expect(try await rig.call(turn).status == 200, "known only once the answer is whole")
            #expect(try await rig.call(turn).code == "budget_spent")
            try await rig.end(turn)

            try await rig.put("narrow") { $0.bytes = 100_000 }
            turn = try await rig.begin(agent: "narrow")
            rig.upstream.answer { _ in Response(status: 200, body: .bytes([UInt8](repeating: 1, count: 200_000))) }
            let raw = try await rig.raw(turn)
            #expect(raw.utf8.count < 150_000 && !raw.hasSuffix("0\r\n\r\n"))
            #expect(try await rig.call(turn).code == "budget_spent")
            try await rig.end(turn)

            for upstream in ["elsewhere", "missing"] {
                try await rig.put("stray") { $0.upstream = upstream }
                turn = try await rig.begin(agent: "stray", conversation: upstream)
                let answer = try await rig.call(turn)
                #expect(answer.status == 403 && answer.code == "no_upstream", "\(upstream)")
                try await rig.end(turn)
            }
        }
    }

    @Test("a worker has so many calls open at most, and each that ends makes room, however it ends")
    func atOnce() async throws {
        var limits = Limits()
        limits.modelCallsAtOnce = 2
        try await ModelRig.with(limits: limits) { rig in
            try await rig.put()
            let turn = try await rig.begin()
            let gate = StopSignal()
            rig.upstream.answer { _ in
                await gate.wait()
                return ScriptedUpstream.completion("x")
            }
            async let first = rig.call(turn)
            async let second = rig.call(turn)
            try await eventually("two calls") { rig.upstream.requests.count == 2 }
            let third = try await rig.call(turn)
            #expect(third.status == 429 && third.code == "too_many_calls" && third.headers["retry-after"] != nil)
            gate.raise()
            #expect(try await first.status == 200)
            #expect(try await second.status == 200)
            for _ in 0..<5 { #expect(try await rig.call(turn).status == 200) }
            rig.upstream.answer { _ in Response(status: 302) }
            for _ in 0..<5 { #expect(try await rig.call(turn).status == 502) }
            #expect(try await rig.model(turn).send("HEAD", "/v1/models").status == 502)
            rig.upstream.answer { _ in ScriptedUpstream.completion("x") }
            for _ in 0..<5 { #expect(try await rig.model(turn).send("HEAD", "/v1/models").status == 200) }
            #expect(try await rig.call(turn).status == 200)
            try await rig.end(turn)
        }
    }
}

extension ModelRig {
    /// An answer as it comes, until the listener closes or `enough` says so.
    func raw(_ turn: Turn, enough: @escaping @Sendable (String) -> Bool = { _ in false }) async throws -> String {
        let body = #"{"model":"m","stream":true}"#
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(turn.tokens[0])\r\n"
        let text = head + "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
        return try await Probe(port: self.port).bytes(text, enough: enough)
    }
}
