import Glibc
import Runtime

/// One client's connection: reads requests one after the other and has each answered before the next is looked at.
///
/// A client that half-closes, resets or stops reading counts as gone: its task is cancelled and the descriptor closed at
/// once. Whatever cannot be read beyond doubt is answered with an error, and the connection ends.
///
/// `@unchecked Sendable`: `outbound` is locked; every other variable belongs to the reactor's thread.
final class Connection: @unchecked Sendable {
    /// Where the connection is between two requests. `reading` → `responding` → `flushing` → `reading` again, or →
    /// `lingering` → `closed`; every phase may go to `closed`.
    enum Phase {
        case reading
        case responding
        /// The response is complete; some of it may still wait for the peer.
        case flushing(close: Bool)
        /// Our side is shut; what arrives is dropped until the peer closes, so that no reset overtakes the response.
        case lingering
        case closed
    }

    let id: UInt64
    let descriptor: Int32
    let peer: String
    /// Whether the server has no room for this one and only says so.
    let isRefused: Bool
    let loop: ServerLoop
    let outbound = Locked(Outbound())
    /// Raised when the client left, or the exchange that it belongs to is over.
    private(set) var gone = StopSignal()

    private(set) var phase = Phase.reading
    private var watch: Watch?
    private var interest: Readiness = [.readable, .peerClosed]
    private var reader: RequestReader
    private var lastStage = RequestReader.Stage.idle
    private var arrived = ContinuousClock.now
    private var deadline = ContinuousClock.now
    private var head: (request: Request, head: RequestHead, outcome: Router.Outcome)?
    private var isServing = false
    /// Whether no request has come yet.
    private var isFresh = true
    /// What the body under way has taken of the listener's memory.
    private var held = 0

    init(id: UInt64, descriptor: Int32, peer: String, isRefused: Bool, loop: ServerLoop) {
        self.id = id
        self.descriptor = descriptor
        self.peer = peer
        self.isRefused = isRefused
        self.loop = loop
        self.reader = RequestReader(limits: loop.configuration.limits)
    }

    /// Begins to read, or to refuse.
    func start() {
        self.deadline = .now + self.loop.configuration.headerDeadline
        self.watch = self.loop.reactor.watch(self.descriptor, for: self.interest) { [weak self] readiness in
            self?.ready(readiness)
        }
        if case .closed = self.phase {
            // The watch failed and said so before it was stored.
            self.watch?.cancel(thenClose: true)
        } else if self.isRefused {
            self.fail(HTTPError(.unavailable, "too many connections"))
        }
    }

    private func ready(_ readiness: Readiness) {
        if readiness.contains(.hangup) || readiness.contains(.peerClosed) {
            return self.close()
        }
        if readiness.contains(.writable) { self.flush() }
        if readiness.contains(.readable) { self.receive() }
    }

    // MARK: - Reading

    private func receive() {
        let buffer = self.loop.scratch
        let count = recv(self.descriptor, buffer.baseAddress, buffer.count, 0)
        guard count > 0 else {
            if count == 0 || (errno != EAGAIN && errno != EINTR) { self.close() }
            return
        }
        switch self.phase {
        case .reading:
            self.reader.append(buffer[..<count])
            self.advance()
        case .responding, .flushing:
            self.reader.append(buffer[..<count])
            self.updateInterest()
        case .lingering, .closed:
            break
        }
    }

    /// Looks for the next request among the bytes received.
    private func advance() {
        do {
            while case .reading = self.phase {
                switch try self.reader.next() {
                case .head(let head): try self.begin(head)
                case .complete(let body): self.dispatch(body)
                case nil:
                    self.held = try self.loop.bodies.grow(self.held, to: self.reader.bodyBytes)
                    self.updateDeadline()
                    return
                }
            }
        } catch {
            self.fail(error)
        }
    }

    private func begin(_ head: RequestHead) throws {
        var request = try Request(head, peer: self.peer, id: RequestID.choose(head.headers))
        let outcome = self.loop.router.resolve(head.method, path: head.path, segments: request.pathSegments)
        var limit = self.loop.configuration.bodyLimit
        if case .route(let route, let parameters) = outcome {
            request.parameters = parameters
            limit = route.bodyLimit ?? limit
        }
        self.head = (request, head, outcome)
        self.isFresh = false
        self.arrived = .now
        try self.reader.admit(bodyLimit: limit)
        if head.framing != .none, head.framing != .length(0) { try self.admitBody(head.framing, outcome, request) }
        if head.expectsContinue, head.framing != .none, self.reader.buffered == 0 {
            // A client that waits for leave to send its body is told at once if there is nothing to send it to.
            if let refusal = outcome.refusal { throw refusal }
            self.push(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        }
    }

    /// Whoever may not send a body is told before it is read.
    private func admitBody(_ framing: BodyFraming, _ outcome: Router.Outcome, _ request: Request) throws {
        if case .route(let route, _) = outcome { try route.doorkeeper?(request) }
        if case .length(let length) = framing { self.held = try self.loop.bodies.grow(self.held, to: length) }
    }

    private func releaseBody() {
        self.loop.bodies.release(self.held)
        self.held = 0
    }

    private func dispatch(_ body: [UInt8]) {
        self.releaseBody()
        guard let (heading, head, outcome) = self.head else { return }
        self.head = nil
        var request = heading
        request.body = body
        self.phase = .responding
        self.isServing = true
        self.gone = StopSignal()
        self.updateInterest()
        let exchange = Exchange(
            number: self.outbound.withLock { $0.exchange },
            request: request,
            outcome: outcome,
            keepsAlive: head.keepsAlive,
            minorVersion: head.minorVersion,
            gone: self.gone,
            arrived: self.arrived
        )
        // The task reports back through `served`, which the connection waits for before the server lets go of it; the
        // server's `run` waits for every connection.
        let task = Task { await self.serve(exchange) }
        let isClosed = self.outbound.withLock { outbound in
            outbound.task = task
            return outbound.isClosed
        }
        if isClosed { task.cancel() }
    }

    /// The response is made, and its last byte handed over.
    func served(_ exchange: Exchange, keepsAlive: Bool) {
        self.isServing = false
        self.outbound.withLock { outbound in
            outbound.exchange += 1
            outbound.task = nil
            outbound.silence = nil
        }
        exchange.gone.raise()
        guard case .responding = self.phase else {
            self.loop.remove(self)
            return
        }
        self.phase = .flushing(close: !keepsAlive || self.loop.isDraining)
        self.flush()
    }

    /// Answers an error of the connection itself and ends it.
    private func fail(_ error: any Error) {
        guard case .reading = self.phase else { return }
        self.releaseBody()
        self.reader = RequestReader(limits: self.loop.configuration.limits)
        let request = self.head?.request
        self.head = nil
        self.push(self.loop.errorResponse(error, request))
        if case .closed = self.phase { return }
        self.phase = .flushing(close: true)
        self.flush()
    }

    // MARK: - Sending

    /// Sends bytes of the server's own from the reactor.
    private func push(_ bytes: [UInt8]) {
        let broken = self.outbound.withLock { $0.send(bytes, to: self.descriptor) }
        if broken != nil { self.close() }
    }

    /// Sends what waits, and goes on to what comes after it.
    func flush() {
        if case .closed = self.phase { return }
        let cap = self.loop.configuration.pendingBytes
        let (broken, count, waiters) = self.outbound.withLock { outbound in
            let broken = outbound.flush(to: self.descriptor)
            return (broken, outbound.count, outbound.count <= cap / 2 ? outbound.takeWaiters() : [])
        }
        for waiter in waiters { waiter.resume() }
        guard broken == nil else { return self.close() }
        if count == 0, case .flushing(let close) = self.phase {
            if close { return self.linger() }
            self.phase = .reading
            self.lastStage = .body
            self.advance()
        }
        self.updateInterest()
    }

    private func linger() {
        self.phase = .lingering
        self.deadline = .now + self.loop.configuration.linger
        shutdown(self.descriptor, Int32(SHUT_WR))
        self.updateInterest()
    }

    /// Ends the connection and everything that happens on it. Harmless when repeated.
    func close() {
        if case .closed = self.phase { return }
        self.phase = .closed
        self.releaseBody()
        let (waiters, task) = self.outbound.withLock { outbound in
            outbound.isClosed = true
            return (outbound.takeWaiters(), outbound.task)
        }
        self.watch?.cancel(thenClose: true)
        self.reader = RequestReader(limits: self.loop.configuration.limits)
        for waiter in waiters { waiter.resume(throwing: HTTPError.peerGone) }
        self.gone.raise()
        task?.cancel()
        if !self.isServing { self.loop.remove(self) }
    }

    // MARK: - Time and readiness

    private func updateDeadline() {
        let configuration = self.loop.configuration
        let stage = self.reader.stage
        switch stage {
        case .idle where self.lastStage != .idle:
            if self.loop.isDraining { return self.close() }
            self.deadline = .now + configuration.keepAlive
        case .head where self.lastStage != .head:
            self.deadline = .now + configuration.headerDeadline
        case .body:
            let earned = Double(self.reader.bodyBytes) / Double(configuration.bodyRate)
            self.deadline = self.arrived + configuration.bodyDeadline + .seconds(earned)
        case .idle, .head:
            break
        }
        self.lastStage = stage
    }

    /// Looks at the clock: deadlines, peers that do not read, streams that are silent.
    func tick(_ now: ContinuousClock.Instant) {
        switch self.phase {
        case .reading where now >= self.deadline:
            switch self.reader.stage {
            case .idle: self.close()
            case .head: self.fail(HTTPError(.requestTimeout, "the request header did not arrive in time"))
            case .body: self.fail(HTTPError(.requestTimeout, "the request body did not arrive in time"))
            }
        case .lingering where now >= self.deadline:
            self.close()
        case .responding, .flushing:
            let stall = self.loop.configuration.writeStall
            let isLost = self.outbound.withLock { outbound in
                if outbound.count > 0, now - outbound.lastMove >= stall { return true }
                return outbound.fillSilence(at: now, to: self.descriptor) != nil
            }
            if isLost { return self.close() }
            self.updateInterest()
        default:
            break
        }
    }

    /// The server is stopping: ends the connection now if it is between requests. The first request of a fresh one may be
    /// on its way, sent to a server that took connections, and is waited for a little.
    func drain() {
        guard case .reading = self.phase, case .idle = self.reader.stage else { return }
        guard self.isFresh else { return self.close() }
        self.deadline = min(self.deadline, .now + self.loop.configuration.lastCall)
    }

    /// Watches for what the connection can act on: no reading while enough requests wait, no writing while nothing does.
    func updateInterest() {
        if case .closed = self.phase { return }
        var interest: Readiness = [.peerClosed]
        let isFull: Bool
        switch self.phase {
        case .responding, .flushing: isFull = self.reader.buffered >= self.loop.configuration.headerBytes
        case .reading, .lingering, .closed: isFull = false
        }
        if !isFull { interest.insert(.readable) }
        if self.outbound.withLock({ $0.count > 0 }) { interest.insert(.writable) }
        guard interest != self.interest else { return }
        self.interest = interest
        self.watch?.update(interest)
    }
}

extension Router.Outcome {
    /// The error by which a look-up that found no route is answered.
    var refusal: HTTPError? {
        switch self {
        case .route, .options: nil
        case .notFound: HTTPError(.notFound, "no such resource")
        case .methodNotAllowed(let allow):
            HTTPError(.methodNotAllowed, "the resource does not offer this method", headers: ["Allow": allow])
        }
    }
}
