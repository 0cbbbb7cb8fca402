internal import CPostgres
import Runtime

/// One session with a PostgreSQL server, driven by libpq's asynchronous interface on a reactor.
///
/// Requests queue inside and are sent one at a time; each is one pipeline with one Sync, so one implicit transaction
/// and one round trip. A connection lives until `close()` or until it is lost: whoever opened it closes it.
package actor PostgresConnection {
    /// What a connection may be told besides where to connect.
    package struct Options: Sendable {
        /// Whether statements are prepared under a name on first use and remembered. Switches itself off for a
        /// connection when a transaction pooler turns out to swap the server's session underneath it.
        package var preparesStatements = true
        /// How long a request may take, waiting in the queue included, unless it says otherwise.
        package var requestDeadline: Duration = .seconds(15)
        /// How long a cancelled request may take to end before the connection is given up.
        package var cancelGrace: Duration = .seconds(2)
        /// libpq parameters that override those of the connection string.
        package var settings: [(name: String, value: String)] = []
        /// Receives (channel, payload) of each notification, on the reactor's thread; must not block.
        package var onNotification: (@Sendable (String, String) -> Void)?
        /// Counts round trips; may be shared by several connections.
        package var roundTrips = RoundTripCounter()

        /// The defaults.
        package init() {}
    }

    nonisolated let reactor: Reactor
    nonisolated let blocking: BlockingPool
    nonisolated let log: Logger
    /// What it was opened with.
    package nonisolated let options: Options
    /// The server process as the startup packet named it; a pooler makes one up.
    package nonisolated let backendPID: Int32
    private nonisolated let loss = Locked(Loss())

    let raw: OpaquePointer
    let notices: NoticeSink
    var watch: Watch?
    var isWritePending = false
    var queue: [Request] = []
    var current: Request?
    var lastRequest: UInt64 = 0
    var statements: StatementCache
    /// The request whose cancellation is on its way; no other starts before it has arrived.
    var cancelling: UInt64?
    var ended: PostgresError?

    private struct Loss {
        var error: PostgresError?
        var callbacks: [@Sendable (PostgresError) -> Void] = []
    }

    /// The reactor, on which the socket is watched too: a callback needs no hop.
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        self.reactor.asUnownedSerialExecutor()
    }

    init(
        handle: ConnectionHandle,
        reactor: Reactor,
        blocking: BlockingPool,
        log: Logger,
        options: Options
    ) {
        self.raw = handle.raw
        self.notices = handle.notices
        self.backendPID = PQbackendPID(handle.raw)
        self.reactor = reactor
        self.blocking = blocking
        self.log = log
        self.options = options
        self.statements = StatementCache(isEnabled: options.preparesStatements)
    }

    /// Sends one statement and returns its rows. Throws `PostgresError`; `CancellationError` when the task was
    /// cancelled and the statement, stopped by the server, had no effect. `deadline` includes the wait in the queue.
    @discardableResult
    package func query(_ query: Query, deadline: Duration? = nil) async throws -> [Row] {
        try await self.perform(.statements([query]), deadline: deadline).results.first?.rows ?? []
    }

    /// Sends one statement and returns how many rows it touched. Throws as `query` does.
    @discardableResult
    package func execute(_ query: Query, deadline: Duration? = nil) async throws -> Int {
        try await self.perform(.statements([query]), deadline: deadline).results.first?.affectedRows ?? 0
    }

    /// Sends all statements at once: one round trip and, unless they say BEGIN themselves, one transaction. When one
    /// fails, none has had an effect and its error is thrown. Otherwise throws as `query` does.
    @discardableResult
    package func pipeline(_ queries: [Query], deadline: Duration? = nil) async throws -> [[Row]] {
        guard !queries.isEmpty else { return [] }
        return try await self.perform(.statements(queries), deadline: deadline).results.map(\.rows)
    }

    /// Runs a script of several statements without binds by the simple protocol. Throws as `query` does.
    package func simple(_ sql: String, deadline: Duration? = nil) async throws {
        _ = try await self.perform(.script(sql), deadline: deadline)
    }

    /// Ends the session. Requests that are under way or queued get `closed`.
    package func close() {
        self.end(PostgresError(.closed, "the connection was closed"))
    }

    /// Whether the connection has been closed or lost.
    package nonisolated var isEnded: Bool {
        self.loss.withLock { $0.error != nil }
    }

    /// Calls `body` once, on the reactor's thread, when the connection is lost or closed; at once if it is already.
    package nonisolated func whenLost(_ body: @escaping @Sendable (PostgresError) -> Void) {
        let error = self.loss.withLock { loss -> PostgresError? in
            if loss.error == nil { loss.callbacks.append(body) }
            return loss.error
        }
        guard let error else { return }
        self.reactor.perform { body(error) }
    }

    /// Returns when the connection is lost or closed, with the reason.
    package nonisolated func whenLost() async -> PostgresError {
        let lost = OneShot<PostgresError>()
        self.whenLost { lost.resolve($0) }
        return await lost.value()
    }

    /// Ends everything: no more callbacks from the socket, then the session, then everyone who waits, then the
    /// observers.
    func end(_ error: PostgresError) {
        guard self.ended == nil else { return }
        self.ended = error
        self.watch?.cancel()
        self.watch = nil
        PQfinish(self.raw)
        let waiting = self.queue
        self.queue = []
        if let current {
            self.current = nil
            let code: PostgresError.Code = current.interruption == .deadline ? .timedOut : error.code
            let own = PostgresError(code, error.message, sqlState: error.sqlState)
            current.resume(throwing: own.forRequest(current.work.summary, outcomeUnknown: true))
        }
        for request in waiting {
            request.resume(throwing: error.forRequest(request.work.summary, outcomeUnknown: false))
        }
        let callbacks = self.loss.withLock { loss in
            loss.error = error
            defer { loss.callbacks = [] }
            return loss.callbacks
        }
        for callback in callbacks { callback(error) }
    }
}

/// Counts round trips of one or several connections.
package final class RoundTripCounter: Sendable {
    private let count = Locked(0)

    /// Starts at zero.
    package init() {}

    /// Requests answered or under way so far.
    package var value: Int {
        self.count.withLock { $0 }
    }

    func increment() {
        self.count.withLock { $0 += 1 }
    }
}
