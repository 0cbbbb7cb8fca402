internal import CRuntime
import Glibc
import Runtime

/// The part of the server that lives on the reactor: the listener, the open connections, the one timer.
///
/// `@unchecked Sendable`: the variables belong to the reactor's thread, except those behind locks.
final class ServerLoop: @unchecked Sendable {
    let configuration: HTTPConfiguration
    let router: Router
    let reactor: Reactor
    let log: Logger
    let date = HTTPDate()
    /// Where every connection receives; only the reactor's thread does.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)

    private let metrics: Metrics
    private let renderError: @Sendable (any Error, Request?) -> Response
    private let open: Locked<Int>
    private let draining = Locked(false)

    /// What the bodies under way take.
    var bodies: BodyMemory
    private var listener: (watch: Watch, descriptor: Int32)?
    private var connections: [UInt64: Connection] = [:]
    private var lastID: UInt64 = 0
    /// Connections that are only told that they are too many.
    private var refused = 0
    private var isTicking = false
    private var ended: OneShot<Void>?

    init(
        configuration: HTTPConfiguration,
        router: Router,
        reactor: Reactor,
        log: Logger,
        metrics: Metrics,
        renderError: @escaping @Sendable (any Error, Request?) -> Response
    ) {
        self.configuration = configuration
        self.bodies = BodyMemory(limit: configuration.bodyMemory)
        self.router = router
        self.reactor = reactor
        self.log = log
        self.metrics = metrics
        self.renderError = renderError
        let open = Locked(0)
        self.open = open
        metrics.collect { metrics in
            metrics.set("http_connections", "Open connections.", to: Double(open.withLock { $0 }))
        }
    }

    deinit {
        self.scratch.deallocate()
    }

    /// Whether the server is stopping: every response ends its connection. Callable from any thread.
    var isDraining: Bool { self.draining.withLock { $0 } }

    // MARK: - Listening and stopping

    /// Begins to accept on `descriptor`; `ended` is resolved when the last connection is closed after `stop`.
    func start(listener descriptor: Int32, ended: OneShot<Void>) {
        self.ended = ended
        let watch = self.reactor.watch(descriptor, for: .readable) { [weak self] _ in
            self?.accept(from: descriptor)
        }
        self.listener = (watch, descriptor)
    }

    /// Closes the listener and idle connections, and ends the rest after `drain`.
    func stop() {
        self.draining.withLock { $0 = true }
        if let listener {
            // Connections that the kernel has made already would be reset with the listener. As many as it keeps, and no
            // more: others may come as fast.
            for _ in 0..<Socket.backlog / Self.acceptedAtOnce {
                guard self.accept(from: listener.descriptor) else { break }
            }
            listener.watch.cancel(thenClose: true)
            self.listener = nil
        }
        for connection in Array(self.connections.values) { connection.drain() }
        self.reactor.after(self.configuration.drain) { [weak self] in
            guard let self else { return }
            if !self.connections.isEmpty {
                self.log.info("closing what did not end in time", ["connections": .count(self.connections.count)])
            }
            for connection in Array(self.connections.values) { connection.close() }
        }
        self.endIfDone()
    }

    private func endIfDone() {
        guard self.listener == nil, self.connections.isEmpty else { return }
        self.ended?.resolve(())
    }

    private static let acceptedAtOnce: Int32 = 64

    /// Takes what waits; whether there may be more.
    @discardableResult
    private func accept(from listener: Int32) -> Bool {
        // Bounded, so that a flood of connections does not keep the reactor from those it has.
        for _ in 0..<Self.acceptedAtOnce {
            let descriptor = crt_accept(listener)
            guard descriptor >= 0 else {
                self.acceptFailed(crt_errno())
                return false
            }
            self.admit(descriptor)
        }
        return true
    }

    private func acceptFailed(_ number: Int32) {
        guard number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM else { return }
        // The connection stays in the backlog and the listener readable: without a pause the reactor would spin.
        self.log.error("cannot accept", ["error": .error(SystemError(call: "accept4", number: number))])
        self.listener?.watch.update([])
        self.reactor.after(.milliseconds(100)) { [weak self] in self?.listener?.watch.update(.readable) }
    }

    private func admit(_ descriptor: Int32) {
        let isExcess = self.connections.count - self.refused >= self.configuration.connections
        guard !isExcess || self.refused < 64 else {
            // Even those to be told that they are too many are bounded.
            close(descriptor)
            return
        }
        Socket.sendAtOnce(descriptor)
        self.lastID += 1
        let connection = Connection(
            id: self.lastID,
            descriptor: descriptor,
            peer: Socket.peer(of: descriptor),
            isRefused: isExcess,
            loop: self
        )
        if isExcess { self.refused += 1 }
        self.connections[self.lastID] = connection
        self.open.withLock { $0 += 1 }
        connection.start()
        self.tickSoon()
    }

    /// Forgets a connection whose descriptor is closed and whose task has ended.
    func remove(_ connection: Connection) {
        guard self.connections.removeValue(forKey: connection.id) != nil else { return }
        if connection.isRefused { self.refused -= 1 }
        self.open.withLock { $0 -= 1 }
        self.endIfDone()
    }

    // MARK: - Time

    private func tickSoon() {
        guard !self.isTicking, !self.connections.isEmpty else { return }
        self.isTicking = true
        self.reactor.after(self.configuration.tick) { [weak self] in
            guard let self else { return }
            self.isTicking = false
            let now = ContinuousClock.now
            for connection in Array(self.connections.values) { connection.tick(now) }
            self.tickSoon()
        }
    }

    // MARK: - Errors and figures, from any thread

    /// The response to an error that ended a request.
    func render(_ error: any Error, _ request: Request?) -> Response {
        var response = self.renderError(error, request)
        if let error = error as? HTTPError {
            for line in error.headers.lines { response.headers.set(line.name, line.value) }
        } else if response.status >= 500 {
            self.log.error("request failed", ["request": .text(request?.id ?? ""), "error": .error(error)])
        }
        return response
    }

    /// The response instead of one whose fields cannot be sent.
    func unsendable(_ error: HTTPError, _ request: Request) -> Response {
        self.log.error("a response cannot be sent", ["request": .text(request.id), "error": .error(error)])
        return self.render(error, request)
    }

    /// An error of the connection itself in wire form.
    func errorResponse(_ error: any Error, _ request: Request?) -> [UInt8] {
        let code = (error as? HTTPError)?.code.rawValue ?? "refused"
        self.metrics.count("http_refused_total", "Requests refused unread.", labels: ["code": code])
        var response = self.render(error, request)
        if let request { response = self.router.finish(response, request) }
        return self.serialised(response, request?.id ?? RequestID.make())
    }

    /// A response that ends its connection, in wire form. One that cannot be sent, or that streams, loses its parts.
    func serialised(_ response: Response, _ requestID: String) -> [UInt8] {
        var bytes: [UInt8] = []
        if case .bytes(let body) = response.body { bytes = body }
        func wire(_ headers: Headers, _ status: Int) throws(HTTPError) -> [UInt8] {
            let head = ResponseHead(
                status: status,
                headers: headers,
                framing: .length(bytes.count),
                date: self.date.now(),
                requestID: requestID,
                connection: "close"
            )
            var output: [UInt8] = []
            try head.serialise(into: &output)
            return output + bytes
        }
        do {
            return try wire(response.headers, response.status)
        } catch {
            self.log.error("an error response cannot be sent", ["error": .error(error)])
            return Array("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8)
        }
    }

    /// Tells of a stream that broke off for another reason than its client.
    func logBroken(_ error: any Error, _ request: Request) {
        if error is CancellationError { return }
        if let error = error as? HTTPError, error.code == .peerGone { return }
        self.log.error("stream failed", ["request": .text(request.id), "error": .error(error)])
    }

    /// Counts a response and, unless it was a stream, its time.
    func count(_ exchange: Exchange, _ response: Response) {
        let labels = ["route": exchange.label, "status": String(response.status)]
        self.metrics.count("http_requests_total", "Requests answered.", labels: labels)
        guard case .bytes = response.body else { return }
        let time = ContinuousClock.now - exchange.arrived
        self.metrics.observe("http_request_seconds", "From head to response.", labels: ["route": exchange.label], time)
    }
}
