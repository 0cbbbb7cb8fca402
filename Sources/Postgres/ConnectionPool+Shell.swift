import Runtime

/// The pool's edge: it carries out what `PoolStateMachine` decides.
extension ConnectionPool {
    /// Waits for a connection.
    func acquire() async throws -> Lease {
        try Task.checkCancellation()
        let waiter = self.state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let timer = self.reactor.after(self.configuration.waitDeadline) { [weak self] in
            self?.advance { $0.expire(waiter) }
        }
        defer { timer.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.advance { machine, waiters in
                    waiters[waiter] = continuation
                    return machine.acquire(waiter)
                }
                // A cancellation from before the registration found nobody to wake.
                if Task.isCancelled { self.abandon(waiter) }
            }
        } onCancel: {
            self.abandon(waiter)
        }
    }

    private func abandon(_ waiter: Int) {
        let continuation = self.state.withLock { state in
            state.machine.abandon(waiter) ? state.waiters.removeValue(forKey: waiter) : nil
        }
        continuation?.resume(throwing: CancellationError())
    }

    func giveBack(_ lease: Lease, isHealthy: Bool) {
        self.advance { $0.returned(lease.id, isHealthy: isHealthy) }
    }

    /// Tells the machine of an event and carries out its answer.
    func advance(_ event: (inout PoolStateMachine) -> [PoolStateMachine.Action]) {
        self.advance { machine, _ in event(&machine) }
    }

    private func advance(
        _ event: (inout PoolStateMachine, inout [Int: CheckedContinuation<Lease, any Error>]) -> [PoolStateMachine
            .Action]
    ) {
        let effects = self.state.withLock { state in
            event(&state.machine, &state.waiters).map { state.effect(of: $0) }
        }
        for effect in effects { self.carryOut(effect) }
    }

    private func carryOut(_ effect: Effect) {
        switch effect {
        case .open(let id):
            // Nobody awaits this task: it ends within the connect deadline, and reports to the machine, which closes
            // what comes too late.
            Task { await self.open(id) }
        case .lend(let lease, let continuation):
            continuation.resume(returning: lease)
        case .close(let connection):
            // Nobody awaits this task: closing sends no request and waits for nothing.
            Task { await connection.close() }
        case .refuse(let continuation, let error):
            continuation.resume(throwing: error)
        case .retry(let attempt):
            self.reactor.after(self.configuration.backoff.delay(attempt: attempt)) { [weak self] in
                self?.advance { $0.retryDue() }
            }
        case .nothing:
            break
        }
    }

    private func open(_ id: Int) async {
        do {
            let connection = try await PostgresConnection.connect(
                self.configuration.conninfo,
                on: self.reactor,
                blocking: self.blocking,
                deadline: self.configuration.connectDeadline,
                log: self.log,
                options: self.connectionOptions
            )
            self.state.withLock { state in
                state.connections[id] = connection
                state.lastOpenError = nil
            }
            self.advance { $0.opened(id) }
            connection.whenLost { [weak self] error in self?.lost(id, because: error) }
        } catch {
            let failure = error as? PostgresError ?? PostgresError(.connectFailed, "\(error)")
            self.log.warning("a connection could not be opened", ["error": .error(failure)])
            self.state.withLock { $0.lastOpenError = failure }
            self.advance { $0.openFailed(id) }
        }
    }

    private var connectionOptions: PostgresConnection.Options {
        var options = PostgresConnection.Options()
        options.preparesStatements = self.configuration.preparesStatements
        options.requestDeadline = self.configuration.requestDeadline
        options.settings = self.configuration.settings
        options.roundTrips = self.counter
        return options
    }

    private func lost(_ id: Int, because error: PostgresError) {
        if error.code != .closed {
            self.log.warning("a connection was lost", ["error": .error(error)])
        }
        self.advance { $0.lost(id) }
    }
}

/// An action with the objects that it names, taken out from under the lock.
private enum Effect {
    case open(Int)
    case lend(ConnectionPool.Lease, CheckedContinuation<ConnectionPool.Lease, any Error>)
    case close(PostgresConnection)
    case refuse(CheckedContinuation<ConnectionPool.Lease, any Error>, PostgresError)
    case retry(Int)
    case nothing
}

extension ConnectionPool.State {
    fileprivate mutating func effect(of action: PoolStateMachine.Action) -> Effect {
        switch action {
        case .open(let id):
            return .open(id)
        case .lend(let id, let waiter):
            guard let connection = self.connections[id], let continuation = self.waiters.removeValue(forKey: waiter)
            else { preconditionFailure("the machine lends what is open to who waits") }
            return .lend(ConnectionPool.Lease(id: id, connection: connection), continuation)
        case .close(let id):
            guard let connection = self.connections.removeValue(forKey: id) else { return .nothing }
            return .close(connection)
        case .refuse(let waiter, let refusal):
            guard let continuation = self.waiters.removeValue(forKey: waiter) else { return .nothing }
            return .refuse(continuation, self.error(for: refusal))
        case .retry(let attempt):
            return .retry(attempt)
        }
    }

    private func error(for refusal: PoolStateMachine.Refusal) -> PostgresError {
        switch refusal {
        case .tooManyWaiters:
            PostgresError(.poolExhausted, "too many tasks wait for a connection already")
        case .poolClosed:
            PostgresError(.closed, "the pool is closed")
        case .waitedTooLong:
            // While the server is away, that is the news, not the wait.
            self.lastOpenError
                ?? PostgresError(.timedOut, "no connection became free within the wait deadline")
        }
    }
}
