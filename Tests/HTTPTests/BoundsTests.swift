import HTTP
import Runtime
import Testing

@Suite("The bounds of a connection")
struct BoundsTests {
    private static var short: HTTPConfiguration {
        var configuration = HTTPConfiguration()
        configuration.headerDeadline = .milliseconds(300)
        configuration.bodyDeadline = .milliseconds(300)
        configuration.keepAlive = .milliseconds(300)
        configuration.writeStall = .milliseconds(300)
        configuration.linger = .milliseconds(200)
        configuration.drain = .milliseconds(400)
        return configuration
    }

    private static var router: Router {
        var router = Router()
        router.on("GET", "/a") { _ in Response(text: "a") }
        router.on("POST", "/a") { Response(text: "\($0.body.count)") }
        return router
    }

    /// Sends `parts` with pauses and returns what came back, whether the server closed, and after how long.
    private func converse(
        _ parts: [String],
        pause: Int32 = 0
    ) async throws -> (text: String, closed: Bool, milliseconds: Int) {
        let result = Locked((text: "", closed: false, milliseconds: 0))
        try await TestServer.with(Self.router, configuration: Self.short) { server in
            let answer = try await server.client { port in
                let client = try RawClient(port: port)
                let began = ContinuousClock.now
                for part in parts {
                    client.send(part)
                    if pause > 0, let some = client.receiveSome(within: pause) {
                        return (String(decoding: some, as: UTF8.self), true, (ContinuousClock.now - began).milliseconds)
                    }
                }
                let (text, closed) = client.receiveAll(within: 3000)
                return (text, closed, (ContinuousClock.now - began).milliseconds)
            }
            result.withLock { $0 = answer }
        }
        return result.withLock { $0 }
    }

    @Test("a half header then silence is answered 408 and closed at the deadline")
    func halfHeader() async throws {
        let (text, closed, milliseconds) = try await self.converse(["GET /a HTTP/1.1\r\nHo"])
        #expect(text.hasPrefix("HTTP/1.1 408 ") && closed)
        #expect((250...5000).contains(milliseconds))
    }

    @Test("a header that drips is cut off at the same deadline")
    func drippingHeader() async throws {
        let drips = "GET /a HTTP/1.1\r\nHost: h\r\nX: ".map(String.init) + (0..<200).map { _ in "x" }
        let (text, _, milliseconds) = try await self.converse(drips, pause: 20)
        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect((250...5000).contains(milliseconds))
    }

    @Test("a body that drips slower than the rate is cut off")
    func drippingBody() async throws {
        let head = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"
        let (text, _, milliseconds) = try await self.converse([head] + (0..<200).map { _ in "x" }, pause: 20)
        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect((250...5000).contains(milliseconds))
    }

    @Test("a connection that says nothing, or nothing more, is closed without a word")
    func idle() async throws {
        let (nothing, closed, _) = try await self.converse([])
        #expect(nothing.isEmpty && closed)
        let (one, closedToo, milliseconds) = try await self.converse(["GET /a HTTP/1.1\r\nHost: h\r\n\r\n"])
        #expect(one.hasPrefix("HTTP/1.1 200 ") && one.hasSuffix("\r\n\r\na") && closedToo)
        #expect((250...5000).contains(milliseconds))
    }

    @Test("a reader that stops reading bounds what waits for it and is cut off")
    func slowReader() async throws {
        let written = Locked(0)
        let outcome = Locked<(any Error)?>(nil)
        var router = Router()
        router.on("GET", "/endless") { _ in
            Response(
                status: 200,
                body: .stream { writer in
                    do {
                        while true {
                            try await writer.write([UInt8](repeating: 120, count: 16 * 1024))
                            written.withLock { $0 += 16 * 1024 }
                        }
                    } catch {
                        outcome.withLock { $0 = error }
                        throw error
                    }
                }
            )
        }
        try await TestServer.with(router, configuration: Self.short) { server in
            _ = try await server.client { port in
                let client = try RawClient(port: port, receiveBuffer: 4096)
                client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
                let deadline = ContinuousClock.now + .seconds(5)
                while outcome.withLock({ $0 == nil }), ContinuousClock.now < deadline {
                    _ = BlockingPause.milliseconds(10)
                }
            }
            #expect((outcome.withLock { $0 } as? HTTPError)?.code == .peerGone)
            // The kernel's send buffer grows to a few megabytes on loopback; ours is the 256 KiB on top.
            #expect(written.withLock { $0 } < 8 * 1024 * 1024)
        }
    }

    @Test("a slow reader does not hold up others, and gets everything in the end")
    func headOfLine() async throws {
        var router = Self.router
        router.on("GET", "/large") { _ in
            Response(status: 200, body: .bytes([UInt8](repeating: 121, count: 16 * 1024 * 1024)))
        }
        var configuration = Self.short
        configuration.writeStall = .seconds(10)
        configuration.drain = .seconds(10)
        try await TestServer.with(router, configuration: configuration) { server in
            let count = try await server.client { port in
                let slow = try RawClient(port: port, receiveBuffer: 4096)
                slow.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                for _ in 0..<50 {
                    let quick = try RawClient(port: port)
                    quick.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    #expect(quick.receiveAll().text.hasSuffix("a"))
                }
                return slow.receiveAll(within: 20_000).text.utf8.count { $0 == 121 }
            }
            #expect(count == 16 * 1024 * 1024)
        }
    }

    @Test("one connection too many is answered 503, and there is room again when one closes")
    func tooMany() async throws {
        var configuration = HTTPConfiguration()
        configuration.connections = 2
        try await TestServer.with(Self.router, configuration: configuration) { server in
            try await server.client { port in
                let first = try RawClient(port: port)
                let request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
                do {
                    let second = try RawClient(port: port)
                    for client in [first, second] {
                        client.send(request)
                        #expect(client.receive { $0.hasSuffix("a") }.hasPrefix("HTTP/1.1 200 "))
                    }
                    let third = try RawClient(port: port)
                    #expect(third.receiveAll().text.hasPrefix("HTTP/1.1 503 "))
                }
                var answer = ""
                for _ in 0..<200 where !answer.hasPrefix("HTTP/1.1 200 ") {
                    let fourth = try RawClient(port: port)
                    fourth.send(request)
                    answer = fourth.receive { $0.hasSuffix("a") || $0.contains("unavailable") }
                }
                #expect(answer.hasPrefix("HTTP/1.1 200 "))
            }
        }
    }
}
