import Glibc
import HTTP
import Runtime
import Testing

@Suite("A client that leaves", .takingTurns)
struct LeavingTests {
    enum Way: String, Sendable, CaseIterable {
        case close, reset, halfClose
    }

    /// When a silent stream of `router` learnt that its client had gone.
    struct Notice: Sendable {
        let began = Locked(0)
        let gone = Locked<[ContinuousClock.Instant]>([])
        let cancelled = Locked<[ContinuousClock.Instant]>([])

        var router: Router {
            let notice = self
            var router = Router()
            router.on("GET", "/silent") { _ in
                .init(
                    status: 200,
                    headers: EventStream.headers,
                    body: .stream { writer in
                        writer.whenGone { notice.gone.withLock { $0.append(.now) } }
                        try await writer.write(Array(": hello\n\n".utf8))
                        notice.began.withLock { $0 += 1 }
                        do {
                            try await Task.sleep(for: .seconds(30))
                        } catch {
                            notice.cancelled.withLock { $0.append(.now) }
                        }
                    }
                )
            }
            router.on("GET", "/slow") { _ in
                notice.began.withLock { $0 += 1 }
                do {
                    try await Task.sleep(for: .seconds(30))
                } catch {
                    notice.cancelled.withLock { $0.append(.now) }
                }
                return Response(text: "late")
            }
            return router
        }
    }

    /// Opens `path` on `port`, waits until the handler runs, leaves, and returns when.
    static func leave(_ way: Way, path: String, port: Int, notice: Notice, runs: Int) throws -> ContinuousClock.Instant
    {
        let client = try RawClient(port: port)
        client.send("GET \(path) HTTP/1.1\r\nHost: h\r\n\r\n")
        if path == "/silent" {
            let text = client.receive { $0.contains(": hello") }
            #expect(text.contains(": hello"))
        }
        for _ in 0..<1000 where notice.began.withLock({ $0 }) < runs { _ = BlockingPause.milliseconds(5) }
        let left = ContinuousClock.now
        switch way {
        case .close: break
        case .reset: client.resetOnClose()
        case .halfClose:
            client.halfClose()
            // Still there, only silent: the half-close alone must be enough.
            for _ in 0..<200 where notice.cancelled.withLock({ $0.count }) < runs { _ = BlockingPause.milliseconds(5) }
        }
        return left
    }

    @Test(
        "is noticed within half a second, by its stream and by the task of a request under way",
        arguments: Way.allCases,
        ["/silent", "/slow"]
    )
    func directly(_ way: Way, path: String) async throws {
        let notice = Notice()
        try await TestServer.with(notice.router) { server in
            for run in 1...5 {
                let left = try await server.client { port in
                    try Self.leave(way, path: path, port: port, notice: notice, runs: run)
                }
                #expect(try await eventually { notice.cancelled.withLock { $0.count } == run })
                let noticed = notice.cancelled.withLock { $0.last } ?? .now
                #expect(noticed - left < .milliseconds(500))
            }
            if path == "/silent" {
                #expect(notice.gone.withLock { $0.count } == 5)
            }
            #expect(try await eventually { server.openConnections == 0 })
        }
    }

    @Test("is noticed within half a second through nginx", arguments: Way.allCases)
    func throughNginx(_ way: Way) async throws {
        let notice = Notice()
        try await TestServer.with(notice.router) { server in
            let proxy = try await Proxy.nginx(to: server.port)
            defer { proxy.stop() }
            for run in 1...3 {
                let left = try await blocking.run {
                    try Self.leave(way, path: "/silent", port: proxy.port, notice: notice, runs: run)
                }
                #expect(try await eventually { notice.cancelled.withLock { $0.count } == run })
                let noticed = notice.cancelled.withLock { $0.last } ?? .now
                #expect(noticed - left < .milliseconds(500))
            }
        }
    }
}
