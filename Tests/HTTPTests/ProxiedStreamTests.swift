import HTTP
import Runtime
import Testing

@Suite("A stream behind a proxy as it is installed", .takingTurns)
struct ProxiedStreamTests {
    private static let events = 5

    @Test(
        "comes event by event, outlives the proxy's patience in silence, and leaves the connection usable",
        arguments: DifferentialTests.Kind.allCases
    )
    func live(_ kind: DifferentialTests.Kind) async throws {
        var configuration = HTTPConfiguration()
        // The timer's step.
        configuration.linger = .milliseconds(40)
        let allowed = Locked(0)
        try await TestServer.with(Self.router(allowed), configuration: configuration) { server in
            let proxy = try await Proxy.asInstalled(kind, to: server.port)
            defer { proxy.stop() }
            try await blocking.run {
                let client = try RawClient(port: proxy.port)
                client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
                // Each event is sent only once the one before it has come: a proxy that holds any back stops this.
                for number in 1...Self.events {
                    allowed.withLock { $0 = number }
                    #expect(client.receive { $0.contains("id: \(number)\n") }.contains("id: \(number)\n"))
                    guard number == 2 else { continue }
                    // More than the proxy's patience, in comments of a tenth of it.
                    let silence = client.receive(within: 10_000) { Self.comments($0) >= 25 }
                    #expect(Self.comments(silence) >= 25)
                }
                for _ in 0..<3 {
                    client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
                    #expect(client.receive { $0.contains("there") }.contains("HTTP/1.1 200"))
                }
            }
        }
    }

    private static func comments(_ text: String) -> Int {
        text.split(separator: ": \n\n", omittingEmptySubsequences: false).count - 1
    }

    private static func router(_ allowed: Locked<Int>) -> Router {
        var router = Router()
        router.on("GET", "/events") { _ in
            .events { events in
                events.keepAlive(every: .milliseconds(100))
                for number in 1...Self.events {
                    while allowed.withLock({ $0 }) < number { try await Task.sleep(for: .milliseconds(5)) }
                    try await events.event(id: String(number), data: "said")
                }
            }
        }
        router.on("GET", "/plain") { _ in Response(text: "there") }
        return router
    }
}
