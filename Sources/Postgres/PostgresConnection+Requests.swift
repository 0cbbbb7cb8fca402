internal import CPostgres
import Runtime

extension PostgresConnection {
    /// Queues a request and waits for its answer. `isCancellable` is false for the statements that end a transaction.
    func perform(_ work: Work, deadline: Duration?, isCancellable: Bool = true) async throws -> Reply {
        if let ended { throw ended.forRequest(work.summary, outcomeUnknown: false) }
        try work.validate()
        if isCancellable { try Task.checkCancellation() }
        self.lastRequest += 1
        let id = self.lastRequest
        let wait = deadline ?? self.options.requestDeadline
        guard isCancellable else {
            return try await withCheckedThrowingContinuation { continuation in
                self.enqueue(Request(id: id, work: work, continuation: continuation), deadline: wait)
            }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // A cancellation from before this line found no request to stop; a later one is posted behind it.
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                self.enqueue(Request(id: id, work: work, continuation: continuation), deadline: wait)
            }
        } onCancel: {
            self.reactor.perform {
                self.assumeIsolated { $0.interrupt(id, because: .cancelled) }
            }
        }
    }

    private func enqueue(_ request: Request, deadline: Duration) {
        let id = request.id
        request.timer = self.reactor.after(deadline) { [weak self] in
            self?.assumeIsolated { $0.interrupt(id, because: .deadline) }
        }
        self.queue.append(request)
        self.startNext()
    }

    func startNext() {
        guard self.current == nil, self.cancelling == nil, self.ended == nil, !self.queue.isEmpty else { return }
        let request = self.queue.removeFirst()
        self.current = request
        self.start(request)
    }

    private func start(_ request: Request) {
        self.options.roundTrips.increment()
        request.startedIdle = PQtransactionStatus(self.raw) == PQTRANS_IDLE
        let isSent =
            switch request.work {
            case .statements(let queries): self.send(queries, of: request)
            case .script(let sql): self.send(script: sql)
            }
        guard isSent else { return self.lose() }
        self.flush()
    }

    // MARK: - Sending

    private func send(script: String) -> Bool {
        PQexitPipelineMode(self.raw) == 1 && PQsendQuery(self.raw, script) == 1
    }

    private func send(_ queries: [Query], of request: Request) -> Bool {
        var preparing: [String: String] = [:]
        for (index, query) in queries.enumerated() {
            guard self.send(query, index: index, of: request, preparing: &preparing) else { return false }
        }
        request.steps.append(.sync)
        return PQpipelineSync(self.raw) == 1
    }

    private func send(_ query: Query, index: Int, of request: Request, preparing: inout [String: String]) -> Bool {
        // Inside a transaction a name that the server has forgotten, for a pooler's sake, would cost the transaction: what
        // went before could not be sent again. And in a failed one the server takes nothing but its end.
        let mayPrepare = self.statements.isEnabled && request.startedIdle
        var name = mayPrepare ? self.statements.name(for: query.sql) ?? preparing[query.sql] : nil
        if mayPrepare, name == nil {
            let (fresh, evicted) = self.statements.makeName()
            if let evicted {
                request.steps.append(.deallocate)
                guard PQsendQueryParams(self.raw, "DEALLOCATE \(evicted)", 0, nil, nil, nil, nil, 0) == 1 else {
                    return false
                }
            }
            request.steps.append(.prepare(sql: query.sql, name: fresh))
            let types = query.binds.map(\.type)
            guard PQsendPrepare(self.raw, fresh, query.sql, Int32(types.count), types) == 1 else { return false }
            preparing[query.sql] = fresh
            name = fresh
        }
        request.steps.append(.execute(index))
        return query.binds.withParameters { count, types, values, lengths, formats in
            if let name {
                PQsendQueryPrepared(self.raw, name, count, values, lengths, formats, 0) == 1
            } else {
                PQsendQueryParams(self.raw, query.sql, count, types, values, lengths, formats, 0) == 1
            }
        }
    }

    private func flush() {
        let result = PQflush(self.raw)
        guard result >= 0 else { return self.lose() }
        let isPending = result == 1
        guard isPending != self.isWritePending else { return }
        self.isWritePending = isPending
        self.watch?.update(isPending ? [.readable, .writable] : .readable)
    }

    // MARK: - Receiving

    /// The socket has something for us, or room.
    func ready(_ readiness: Readiness) {
        guard self.ended == nil else { return }
        if self.isWritePending, readiness.contains(.writable) { self.flush() }
        guard self.ended == nil, !readiness.isDisjoint(with: [.readable, .hangup]) else { return }
        let isConnected = PQconsumeInput(self.raw) == 1
        self.deliverNotifications()
        self.receive()
        guard self.ended == nil else { return }
        guard isConnected, PQstatus(self.raw) != CONNECTION_BAD else { return self.lose() }
        self.readNotices()
    }

    private func receive() {
        while self.ended == nil, let request = self.current, PQisBusy(self.raw) == 0 {
            let result = PQgetResult(self.raw)
            self.readNotices()
            guard self.ended == nil else {
                PQclear(result)
                return
            }
            if let result {
                self.take(result, for: request)
            } else if request.steps.isEmpty {
                PQenterPipelineMode(self.raw)
                self.finish(request)
            } else {
                guard request.cursor < request.steps.count, PQstatus(self.raw) == CONNECTION_OK else {
                    return self.lose()
                }
                request.cursor += 1
            }
        }
    }

    private func take(_ raw: OpaquePointer, for request: Request) {
        let result = ResultSet(raw)
        switch PQresultStatus(raw) {
        case PGRES_PIPELINE_SYNC:
            // Once more, for the nil that lets libpq rest: only then does it look at messages that come unasked.
            PQclear(PQgetResult(self.raw))
            self.finish(request)
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            self.takeSuccess(result, for: request)
        case PGRES_PIPELINE_ABORTED:
            break
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            self.end(PostgresError(.connectionLost, "COPY is not spoken here"))
        default:
            self.takeFailure(raw, for: request)
        }
    }

    private func takeSuccess(_ result: ResultSet, for request: Request) {
        guard request.cursor < request.steps.count else {
            request.results.append(result)
            return
        }
        switch request.steps[request.cursor] {
        case .prepare(let sql, let name): self.statements.remember(sql, as: name)
        case .execute: request.results.append(result)
        case .deallocate, .sync: break
        }
    }

    private func takeFailure(_ raw: OpaquePointer, for request: Request) {
        var statement = request.work.summary
        if case .statements(let queries) = request.work, request.cursor < request.steps.count {
            // The number of statements answered is the index of the one that failed.
            let index = min(request.results.count, queries.count - 1)
            statement = queries[index].summary
            request.failedStatement = index
        }
        let error = PostgresError(serverMessage: raw, statement: statement)
        let severity = DiagnosticField.severity.read(raw)
        if PQstatus(self.raw) == CONNECTION_BAD || severity == "FATAL" || severity == "PANIC" {
            return self.end(PostgresError(.connectionLost, error.message, sqlState: error.sqlState))
        }
        guard request.failure == nil else { return }
        request.failure = error
        if error.sqlState == SQLState.unknownPreparedStatement, self.statements.isEnabled {
            request.staleness = .unknownStatement
        } else if error.sqlState == SQLState.featureNotSupported,
            DiagnosticField.sourceFunction.read(raw) == "RevalidateCachedQuery"
        {
            request.staleness = .changedResult
        }
    }

    private func finish(_ request: Request) {
        if self.mayRetry(request) {
            switch request.staleness {
            case .unknownStatement:
                self.log.info("a pooler swaps the server's session: statements are no longer prepared")
                self.statements.disable()
            case .changedResult, nil:
                self.statements.removeAll()
            }
            request.prepareRetry()
            return self.start(request)
        }
        self.current = nil
        if let error = request.outcomeError {
            request.resume(throwing: error)
        } else {
            let isIdle = PQtransactionStatus(self.raw) == PQTRANS_IDLE
            request.resume(returning: Reply(results: request.results, isIdle: isIdle))
        }
        self.startNext()
    }

    /// A request that failed only because its prepared statement is stale has had no effect, unless it began inside
    /// a transaction, or committed one itself, before it failed.
    private func mayRetry(_ request: Request) -> Bool {
        request.staleness != nil && !request.hasBeenRetried && request.interruption == nil && request.startedIdle
            && PQtransactionStatus(self.raw) == PQTRANS_IDLE && self.cancelling == nil
            && !request.results.contains { $0.commandTag == "COMMIT" || $0.commandTag == "PREPARE TRANSACTION" }
    }

    // MARK: - Messages outside answers

    private func deliverNotifications() {
        while let notification = PQnotifies(self.raw) {
            let channel = String(cString: notification.pointee.relname)
            let payload = String(cString: notification.pointee.extra)
            PQfreemem(notification)
            self.options.onNotification?(channel, payload)
        }
    }

    private func readNotices() {
        for notice in self.notices.take() {
            if SQLState.endsSession(notice.sqlState), notice.severity != "WARNING" {
                let error = PostgresError(.connectionLost, notice.message, sqlState: notice.sqlState)
                return self.end(error)
            }
            // The commit is durable here and not known to be on the standby: neither success nor failure.
            if notice.sourceFunction == "SyncRepWaitForLSN" { self.current?.isDoubtful = true }
            let fields: KeyValuePairs<String, LogValue> = [
                "text": .text(notice.message), "sqlstate": .text(notice.sqlState),
            ]
            if notice.severity == "WARNING" {
                self.log.warning("the server warns", fields)
            } else {
                self.log.debug("the server notes", fields)
            }
        }
    }

    /// The connection is gone; libpq knows why.
    func lose() {
        let message = String(cString: PQerrorMessage(self.raw)).split(whereSeparator: \.isNewline)
        let text = message.first.map(String.init) ?? "the server closed the connection"
        self.end(PostgresError(.connectionLost, text))
    }
}

extension Work {
    fileprivate func validate() throws(PostgresError) {
        switch self {
        case .statements(let queries):
            for query in queries { try query.validate() }
        case .script(let sql):
            try Query(unescaped: sql).validate()
        }
    }
}

extension Request {
    /// What to throw at the end of the request; nil for success.
    fileprivate var outcomeError: (any Error)? {
        guard let failure else {
            guard self.isDoubtful else { return nil }
            let message = "the server stopped waiting for its standby during the commit"
            return PostgresError(.server, message, statement: self.work.summary, isOutcomeUnknown: true)
        }
        guard failure.sqlState == SQLState.queryCanceled else { return failure }
        switch self.interruption {
        case .cancelled: return CancellationError()
        case .deadline:
            let message = "the statement took longer than its deadline"
            return PostgresError(.timedOut, message, sqlState: failure.sqlState, statement: failure.statement)
        case nil: return failure
        }
    }
}

extension PostgresError {
    /// The error that a server message describes.
    fileprivate init(serverMessage raw: OpaquePointer, statement: String?) {
        var message = DiagnosticField.message.read(raw) ?? String(cString: PQresultErrorMessage(raw))
        if let hint = DiagnosticField.hint.read(raw) { message += " (\(hint))" }
        self.init(
            .server,
            message,
            sqlState: DiagnosticField.sqlState.read(raw),
            constraint: DiagnosticField.constraint.read(raw),
            statement: statement
        )
    }
}
