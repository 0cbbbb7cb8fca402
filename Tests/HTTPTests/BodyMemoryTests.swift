import HTTP
import Runtime
import Testing

@Suite("The memory that bodies take")
struct BodyMemoryTests {
    private static var router: Router {
        var router = Router()
        router.on("POST", "/a") { Response(text: "took \($0.body.count)") }
        router.on(
            "POST",
            "/guarded",
            doorkeeper: { if $0.headers["X-Pass"] == nil { throw HTTPError(.notFound, "not for you") } },
            { Response(text: "took \($0.body.count)") }
        )
        return router
    }

    private static func head(_ framing: String, path: String = "/a") -> String {
        "POST \(path) HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\r\n"
    }

    @Test("a body that does not fit beside the others is refused unread, and those under way come to their end")
    func bounded() async throws {
        var configuration = HTTPConfiguration()
        configuration.bodyMemory = 1_000
        try await TestServer.with(Self.router, configuration: configuration) { server in
            try await server.client { port in
                let first = try RawClient(port: port)
                first.send(Self.head("Content-Length: 800\r\nExpect: 100-continue"))
                #expect(first.receive { $0.hasSuffix("\r\n\r\n") }.hasPrefix("HTTP/1.1 100 "))
                first.send(String(repeating: "x", count: 400))
                // Not a byte of its body is sent.
                let second = try RawClient(port: port)
                second.send(Self.head("Content-Length: 300"))
                let refusal = second.receive { $0.hasSuffix("unavailable") }
                #expect(refusal.hasPrefix("HTTP/1.1 503 ") && refusal.contains("Retry-After: 1\r\n"), "\(refusal)")
                let chunked = try RawClient(port: port)
                chunked.send(Self.head("Transfer-Encoding: chunked") + "c8\r\n" + String(repeating: "x", count: 200))
                chunked.send("\r\n64\r\n" + String(repeating: "x", count: 100) + "\r\n")
                #expect(chunked.receiveAll().text.hasPrefix("HTTP/1.1 503 "))
                first.send(String(repeating: "x", count: 400))
                #expect(first.receive { $0.hasSuffix("took 800") }.hasPrefix("HTTP/1.1 200 "))
            }
        }
    }

    @Test("what a body took is free again when it was handed on, when its client left, and when it was refused")
    func released() async throws {
        var configuration = HTTPConfiguration()
        configuration.bodyMemory = 1_000
        try await TestServer.with(Self.router, configuration: configuration) { server in
            try await server.client { port in
                let kept = try RawClient(port: port)
                for _ in 0..<3 {
                    kept.send(Self.head("Content-Length: 900") + String(repeating: "x", count: 900))
                    #expect(kept.receive { $0.hasSuffix("took 900") }.hasPrefix("HTTP/1.1 200 "))
                    let broken = try RawClient(port: port)
                    let chunk = "1f4\r\n" + String(repeating: "x", count: 502)
                    broken.send(Self.head("Transfer-Encoding: chunked") + chunk)
                    #expect(broken.receiveAll().text.hasPrefix("HTTP/1.1 400 "))
                }
                do {
                    let leaving = try RawClient(port: port)
                    leaving.send(Self.head("Content-Length: 900") + "x")
                }
                // Its leaving is noticed a moment later.
                var answer = ""
                let deadline = ContinuousClock.now + .seconds(10)
                while !answer.hasPrefix("HTTP/1.1 200 "), ContinuousClock.now < deadline {
                    let next = try RawClient(port: port)
                    next.send(Self.head("Content-Length: 900") + String(repeating: "x", count: 900))
                    answer = next.receive { $0.hasSuffix("took 900") || $0.hasSuffix("unavailable") }
                }
                #expect(answer.hasPrefix("HTTP/1.1 200 "))
            }
        }
    }

    @Test("whom the doorkeeper does not let in is told before the body, whoever sends none is answered as ever")
    func guarded() async throws {
        try await TestServer.with(Self.router) { server in
            try await server.client { port in
                for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
                    let refused = try RawClient(port: port)
                    refused.send(Self.head(framing, path: "/guarded"))
                    #expect(refused.receiveAll().text.hasPrefix("HTTP/1.1 404 "))
                    let admitted = try RawClient(port: port)
                    admitted.send(Self.head("\(framing)\r\nX-Pass: p", path: "/guarded"))
                    #expect(admitted.receiveSome(within: 100) == nil)
                }
                let bodiless = try RawClient(port: port)
                for _ in 0..<2 {
                    bodiless.send(Self.head("Content-Length: 0", path: "/guarded"))
                    #expect(bodiless.receive { $0.hasSuffix("took 0") }.hasPrefix("HTTP/1.1 200 "))
                }
            }
        }
    }
}
