internal import CPostgres
package import Runtime

extension PostgresConnection {
    /// Opens a session. `deadline` covers name look-up, all hosts of the connection string, TLS and authentication. Of
    /// several hosts the one that takes writes is meant, unless the string says otherwise.
    /// Throws `connectFailed`, `timedOut`, or `CancellationError`.
    @concurrent
    package static func connect(
        _ conninfo: String,
        on reactor: Reactor,
        blocking: BlockingPool,
        deadline: Duration,
        log: Logger,
        options: Options = Options()
    ) async throws -> PostgresConnection {
        let handle = try await ConnectionHandle.open(
            conninfo,
            settings: options.settings,
            reactor: reactor,
            blocking: blocking,
            deadline: ContinuousClock.now + deadline
        )
        let connection = PostgresConnection(
            handle: handle,
            reactor: reactor,
            blocking: blocking,
            log: log,
            options: options
        )
        await connection.begin()
        return connection
    }

    private func begin() {
        PQsetnonblocking(self.raw, 1)
        PQenterPipelineMode(self.raw)
        self.watch = self.reactor.watch(PQsocket(self.raw), for: .readable) { [self] readiness in
            self.assumeIsolated { $0.ready(readiness) }
        }
    }
}

/// A session on its way: libpq's handle until the connection actor owns it.
///
/// `@unchecked Sendable`: between opening and hand-over exactly one step at a time touches it.
struct ConnectionHandle: @unchecked Sendable {
    let raw: OpaquePointer
    let notices: NoticeSink

    /// Opens one of the hosts that the string names.
    static func open(
        _ conninfo: String,
        settings: [(name: String, value: String)],
        reactor: Reactor,
        blocking: BlockingPool,
        deadline: ContinuousClock.Instant
    ) async throws -> ConnectionHandle {
        guard !conninfo.utf8.contains(0) else {
            throw PostgresError(.connectFailed, "the connection string contains a NUL")
        }
        return try await HostRace(conninfo, reactor: reactor, blocking: blocking).first { host in
            try await self.openOne(
                conninfo,
                settings: host + settings,
                reactor: reactor,
                blocking: blocking,
                deadline: deadline
            )
        }
    }

    /// Drives `PQconnectPoll` to its end. Each poll runs on the blocking pool, since it may look up a host's name or read
    /// certificates; the waiting in between happens on the reactor.
    private static func openOne(
        _ conninfo: String,
        settings: [(name: String, value: String)],
        reactor: Reactor,
        blocking: BlockingPool,
        deadline: ContinuousClock.Instant
    ) async throws -> ConnectionHandle {
        let handle = try await blocking.run { try self.start(conninfo, settings: settings) }
        do {
            // The protocol of PQconnectStart: begin as if the last poll had asked for writing.
            var state = PGRES_POLLING_WRITING
            while state != PGRES_POLLING_OK {
                // A name with several addresses means several sockets: the descriptor is asked for after each poll.
                let interest: Readiness = state == PGRES_POLLING_READING ? .readable : .writable
                try await reactor.waitUntilReady(PQsocket(handle.raw), for: interest, deadline: deadline)
                state = await handle.poll(blocking)
                if state == PGRES_POLLING_FAILED { throw handle.failure() }
            }
            return handle
        } catch {
            await handle.finish(blocking)
            throw error
        }
    }

    private static func start(
        _ conninfo: String,
        settings: [(name: String, value: String)]
    ) throws -> ConnectionHandle {
        // A connection string given as dbname is expanded; later parameters override what it says.
        let parameters = [("dbname", conninfo), ("client_encoding", "UTF8")] + settings
        let keywords = parameters.map { Array($0.0.utf8CString) }
        let values = parameters.map { Array($0.1.utf8CString) }
        let raw = withPointers(keywords) { keywords in
            withPointers(values) { values in PQconnectStartParams(keywords, values, 1) }
        }
        guard let raw else { throw PostgresError(.connectFailed, "libpq has no memory for a connection") }
        let handle = ConnectionHandle(raw: raw, notices: NoticeSink())
        handle.notices.install(on: raw)
        guard PQstatus(raw) != CONNECTION_BAD else {
            defer { PQfinish(raw) }
            throw handle.failure()
        }
        return handle
    }

    private func poll(_ blocking: BlockingPool) async -> PostgresPollingStatusType {
        do {
            return try await blocking.run { PQconnectPoll(self.raw) }
        } catch {
            // The closure does not throw.
            return PGRES_POLLING_FAILED
        }
    }

    /// Lets go of a session that nobody owns yet.
    func finish(_ blocking: BlockingPool) async {
        do {
            try await blocking.run { PQfinish(self.raw) }
        } catch {
            // The closure does not throw.
        }
    }

    private func failure() -> PostgresError {
        let message = String(cString: PQerrorMessage(self.raw))
        let line = message.split(whereSeparator: \.isNewline)
            .map { $0.drop { $0.isWhitespace } }.joined(separator: "; ")
        return PostgresError(.connectFailed, line.isEmpty ? "the server cannot be reached" : line)
    }
}

/// Calls `body` with a null-terminated array of the C strings.
private func withPointers<Value>(
    _ strings: [[CChar]],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value
) -> Value {
    let arena = strings.flatMap { $0 }
    return arena.withUnsafeBufferPointer { buffer in
        var pointers: [UnsafePointer<CChar>?] = []
        var offset = 0
        for string in strings {
            pointers.append(buffer.baseAddress.map { $0 + offset })
            offset += string.count
        }
        pointers.append(nil)
        return pointers.withUnsafeBufferPointer { pointers in
            guard let first = pointers.baseAddress else { preconditionFailure("the array holds at least a null") }
            return body(first)
        }
    }
}

extension Reactor {
    /// Waits until `descriptor` is ready. Throws `timedOut` at `deadline` and `CancellationError` on cancellation.
    fileprivate func waitUntilReady(
        _ descriptor: Int32,
        for interest: Readiness,
        deadline: ContinuousClock.Instant
    ) async throws {
        guard descriptor >= 0 else { return }
        let ready = OneShot<Bool>()
        let watch = self.watch(descriptor, for: interest) { _ in ready.resolve(true) }
        let timer = self.after(deadline - ContinuousClock.now) { ready.resolve(false) }
        let isReady = await withTaskCancellationHandler {
            await ready.value()
        } onCancel: {
            ready.resolve(false)
        }
        timer.cancel()
        await self.remove(watch)
        try Task.checkCancellation()
        guard isReady else { throw PostgresError(.timedOut, "the server did not let us in in time") }
    }

    /// Cancels a watch and waits until that has happened, so that the descriptor may be closed.
    private func remove(_ watch: Watch) async {
        let removed = OneShot<Void>()
        self.perform {
            watch.cancel()
            removed.resolve(())
        }
        await removed.value()
    }
}
