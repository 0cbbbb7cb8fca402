import Glibc
import HTTP
import Runtime
import Testing

/// A server on a free loopback port for the duration of a closure.
struct TestServer: Sendable {
    let port: Int
    let metrics: Metrics
    let stop: StopSignal
    /// The first error that a handler or the parser met.
    let errors: Locked<[String]>

    /// Runs `body` against a server, stops it and waits until it has ended.
    static func with(
        _ router: Router,
        configuration: HTTPConfiguration = HTTPConfiguration(),
        _ body: @Sendable (TestServer) async throws -> Void
    ) async throws {
        let reactor = try Reactor(name: "http-test")
        let metrics = Metrics()
        let errors = Locked<[String]>([])
        let server = HTTPServer(
            configuration: configuration,
            router: router,
            reactor: reactor,
            log: .silent,
            metrics: metrics,
            renderError: { error, request in
                errors.withLock { $0.append(String(describing: error)) }
                return Self.render(error, request)
            }
        )
        let port = try server.bind()
        let test = TestServer(port: port, metrics: metrics, stop: StopSignal(), errors: errors)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run(until: test.stop) }
            defer { test.stop.raise() }
            try await body(test)
        }
        try await blocking.run { reactor.stop() }
    }

    private static func render(_ error: any Error, _ request: Request?) -> Response {
        guard let error = error as? HTTPError else { return Response(status: 500, text: "internal") }
        return Response(status: error.status, text: error.code.rawValue)
    }

    /// Runs blocking client code away from the pool of tasks.
    func client<Value: Sendable>(_ body: @escaping @Sendable (Int) throws -> Value) async throws -> Value {
        let port = self.port
        return try await blocking.run { try body(port) }
    }

    /// Sends `text` on a fresh connection and returns everything until the server closes.
    func exchange(_ text: String) async throws -> String {
        try await self.client { port in
            let client = try RawClient(port: port)
            client.send(text)
            return client.receiveAll().text
        }
    }

    var openConnections: Double {
        _ = self.metrics.render()
        return self.metrics.value("http_connections")
    }
}

/// Polls until `condition` holds; returns whether it did within `bound`.
func eventually(within bound: Duration = .seconds(5), _ condition: @Sendable () -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + bound
    while !condition() {
        if ContinuousClock.now > deadline { return false }
        try await Task.sleep(for: .milliseconds(5))
    }
    return true
}

/// The open descriptors of this process.
func openDescriptors() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}
