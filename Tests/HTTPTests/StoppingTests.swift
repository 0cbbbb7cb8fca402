import HTTP
import Runtime
import Testing

@Suite("A server that stops")
struct StoppingTests {
    /// A router whose `/slow` answers, and whose `/stream` ends, when `release` is raised; `began` counts both.
    private static func router(_ release: StopSignal, _ began: Locked<Int>) -> Router {
        var router = Router()
        router.on("GET", "/a") { _ in Response(text: "a") }
        router.on("GET", "/slow") { _ in
            began.withLock { $0 += 1 }
            await release.wait()
            return Response(text: "done")
        }
        router.on("GET", "/stream") { _ in
            .events { events in
                try await events.event(data: "first")
                began.withLock { $0 += 1 }
                await release.wait()
                try await events.event(data: "last")
            }
        }
        return router
    }

    @Test("finishes what is under way, closes what is idle at once, and takes nothing new")
    func finishes() async throws {
        let release = StopSignal()
        let began = Locked(0)
        try await TestServer.with(Self.router(release, began)) { server in
            try await server.client { port in
                let idle = try RawClient(port: port)
                idle.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
                _ = idle.receive { $0.hasSuffix("a") }
                let (slow, stream) = (try RawClient(port: port), try RawClient(port: port))
                slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
                stream.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
                for _ in 0..<1000 where began.withLock({ $0 }) < 2 { _ = BlockingPause.milliseconds(5) }
                server.stop.raise()
                #expect(idle.receiveAll(within: 2000) == ("", true))
                #expect(throws: SystemError.self) { try RawClient(port: port) }
                release.raise()
                let answer = slow.receiveAll().text
                #expect(answer.contains("\r\nConnection: close\r\n") && answer.hasSuffix("done"))
                #expect(stream.receiveAll().text.contains("data: last\n\n\r\n0\r\n\r\n"))
            }
        }
    }

    @Test("answers the first request of a connection that was made before, and does not wait long for one")
    func answersWhatIsOnItsWay() async throws {
        try await TestServer.with(Self.router(StopSignal(), Locked(0))) { server in
            try await server.client { port in
                let (late, silent) = (try RawClient(port: port), try RawClient(port: port))
                server.stop.raise()
                late.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
                let answer = late.receiveAll().text
                #expect(answer.contains("\r\nConnection: close\r\n") && answer.hasSuffix("a"))
                #expect(silent.receiveAll(within: 2000) == ("", true))
            }
        }
    }

    @Test("cuts off what does not end within the drain time")
    func cutsOff() async throws {
        var configuration = HTTPConfiguration()
        configuration.drain = .milliseconds(200)
        let began = Locked(0)
        try await TestServer.with(Self.router(StopSignal(), began), configuration: configuration) { server in
            try await server.client { port in
                let stream = try RawClient(port: port)
                stream.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
                for _ in 0..<1000 where began.withLock({ $0 }) < 1 { _ = BlockingPause.milliseconds(5) }
                let stopped = ContinuousClock.now
                server.stop.raise()
                let (text, closed) = stream.receiveAll()
                #expect(closed && text.contains("data: first") && !text.contains("data: last"))
                #expect((150...2000).contains((ContinuousClock.now - stopped).milliseconds))
            }
        }
    }
}
