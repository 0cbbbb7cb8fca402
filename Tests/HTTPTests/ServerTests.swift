import HTTP
import Runtime
import Testing

@Suite("An HTTP server")
struct ServerTests {
    private static var router: Router {
        var router = Router()
        router.on("GET", "/health") { _ in Response(text: "ok") }
        router.on("POST", "/echo") { Response(status: 201, body: .bytes($0.body)) }
        router.on("POST", "/small", limit: 4) { Response(status: 200, body: .bytes($0.body)) }
        router.on("GET", "/items/{item}") { Response(text: $0.parameters["item"] ?? "") }
        router.on("GET", "/fails") { _ in throw CancellationError() }
        router.on("GET", "/refuses") { _ in throw HTTPError(.notFound, "no such thing") }
        router.on("GET", "/splits") { _ in Response(status: 200, headers: ["X-A": "a\r\nX-B: b"]) }
        router.on("GET", "/stream") { _ in
            Response(
                status: 200,
                body: .stream { writer in
                    for part in ["one", "two"] { try await writer.write(Array(part.utf8)) }
                }
            )
        }
        return router
    }

    private func exchange(_ text: String) async throws -> String {
        let answer = Locked("")
        try await TestServer.with(Self.router) { server in
            let text = try await server.exchange(text)
            answer.withLock { $0 = text }
        }
        return answer.withLock { $0 }
    }

    @Test("a request is answered, with its id, a date and a length")
    func answers() async throws {
        let answer = try await self.exchange(
            "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-Id: my:id.1\r\nConnection: close\r\n\r\n"
        )
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\nDate: "))
        #expect(answer.contains("\r\nX-Request-Id: my:id.1\r\n"))
        #expect(answer.contains("\r\nContent-Length: 2\r\n"))
        #expect(answer.contains("\r\nConnection: close\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nok"))
    }

    @Test("an unusable request id is replaced")
    func replacesID() async throws {
        let answer = try await self.exchange(
            "GET /health HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\nConnection: close\r\n\r\n"
        )
        let id = answer.split(separator: "\r\n").first { $0.hasPrefix("X-Request-Id: ") }?.dropFirst(14) ?? ""
        #expect(id.count == 32 && id.allSatisfy(\.isHexDigit))
    }

    @Test("pipelined requests are answered in order on one connection")
    func pipelines() async throws {
        let requests = (0..<20).map { "GET /items/n\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined()
        let answer = try await self.exchange(
            requests + "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast"
        )
        let bodies = answer.split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "H" } }
        #expect(bodies.map(String.init) == (0..<20).map { "n\($0)" } + ["last"])
    }

    @Test("a stream is chunked for HTTP/1.1 and ends with its connection for HTTP/1.0")
    func streams() async throws {
        let new = try await self.exchange("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(new.contains("\r\nTransfer-Encoding: chunked\r\n"))
        #expect(new.hasSuffix("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"))
        let old = try await self.exchange("GET /stream HTTP/1.0\r\n\r\n")
        #expect(!old.contains("chunked") && old.hasSuffix("\r\n\r\nonetwo"))
    }

    @Test("HEAD is answered like GET without the body")
    func head() async throws {
        let answer = try await self.exchange("HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(answer.contains("\r\nContent-Length: 2\r\n") && answer.hasSuffix("\r\n\r\n"))
        let stream = try await self.exchange("HEAD /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(stream.hasPrefix("HTTP/1.1 200 OK") && stream.hasSuffix("\r\n\r\n"))
    }

    @Test("an unknown path is 404, an undeclared method 405 with Allow, OPTIONS 204 with Allow")
    func misses() async throws {
        let close = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        #expect(try await self.exchange("GET /nothing" + close).hasPrefix("HTTP/1.1 404 "))
        let wrong = try await self.exchange("DELETE /health" + close)
        #expect(wrong.hasPrefix("HTTP/1.1 405 ") && wrong.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"))
        let options = try await self.exchange("OPTIONS /echo" + close)
        #expect(options.hasPrefix("HTTP/1.1 204 ") && options.contains("\r\nAllow: OPTIONS, POST\r\n"))
        #expect(!options.contains("Content-Length"))
        #expect(try await self.exchange("OPTIONS *" + close).hasPrefix("HTTP/1.1 204 "))
    }

    @Test("errors of handlers become responses; a header that would split the response becomes a 500")
    func errors() async throws {
        let close = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        #expect(try await self.exchange("GET /fails" + close).hasPrefix("HTTP/1.1 500 "))
        #expect(try await self.exchange("GET /refuses" + close).hasPrefix("HTTP/1.1 404 "))
        let split = try await self.exchange("GET /splits" + close)
        #expect(split.hasPrefix("HTTP/1.1 500 ") && !split.contains("X-B"))
    }

    @Test("a body over its route's limit is refused before it is read")
    func limits() async throws {
        let small = try await self.exchange("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        #expect(small.hasPrefix("HTTP/1.1 413 "))
        let chunked = try await self.exchange(
            "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n"
        )
        #expect(chunked.hasPrefix("HTTP/1.1 413 "))
        let large = try await self.exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
        #expect(large.hasPrefix("HTTP/1.1 413 "))
    }

    @Test("a client that waits for leave to send its body gets it, or its refusal")
    func expectation() async throws {
        try await TestServer.with(Self.router) { server in
            let (leave, answer) = try await server.client { port in
                let client = try RawClient(port: port)
                client.send(
                    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\nConnection: close\r\n\r\n"
                )
                let leave = client.receive { $0.hasSuffix("\r\n\r\n") }
                client.send("hi")
                return (leave, client.receiveAll().text)
            }
            #expect(leave == "HTTP/1.1 100 Continue\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 201 Created\r\n") && answer.hasSuffix("\r\n\r\nhi"))
            let head = " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
            #expect(try await server.exchange("POST /small\(head)5\r\n\r\n").hasPrefix("HTTP/1.1 413 "))
            #expect(try await server.exchange("POST /none\(head)5\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
        }
    }

    @Test("a port in use is named with its address and the reason")
    func portInUse() async throws {
        try await TestServer.with(Self.router) { server in
            var configuration = HTTPConfiguration()
            configuration.port = UInt16(server.port)
            let second = HTTPServer(
                configuration: configuration,
                router: Router(),
                reactor: try Reactor(name: "second"),
                log: .silent,
                metrics: Metrics(),
                renderError: { _, _ in Response(status: 500) }
            )
            let error = #expect(throws: HTTPError.self) { try second.bind() }
            #expect(error?.code == .listenFailed)
            #expect(error?.message.contains("127.0.0.1 port \(server.port)") == true)
            #expect(error?.message.contains("EADDRINUSE") == true)
        }
    }
}
