internal import CPostgres

extension PostgresConnection {
    /// Runs `body` in a transaction: COMMIT when it returns, ROLLBACK when it throws. The ends are not cancellable, so
    /// a cancelled task leaves no transaction open. Throws what `body` throws, or `PostgresError`; look at
    /// `isOutcomeUnknown` of an error that came from the COMMIT.
    ///
    /// The server ends the connection, and with it the transaction, when it hears nothing for `idleLimit` between two
    /// statements: a process that is stopped or cut off there would keep its row locks for as long as that lasts.
    @discardableResult
    package nonisolated func withTransaction<Value: Sendable>(
        idleLimit: Duration? = nil,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        var opening: [Query] = ["BEGIN"]
        if let idleLimit {
            let limit = max(1, idleLimit.wholeMilliseconds)
            opening.append(Query(unescaped: "SET LOCAL idle_in_transaction_session_timeout = \(limit)"))
        }
        try await self.pipeline(opening)
        let value: Value
        do {
            value = try await body(self)
        } catch {
            await self.rollBack()
            throw error
        }
        try await self.commit()
        return value
    }

    private func commit() async throws {
        let reply = try await self.perform(.statements(["COMMIT"]), deadline: nil, isCancellable: false)
        // COMMIT of a failed transaction "succeeds" as a ROLLBACK: a failure that the body has swallowed.
        guard reply.results.first?.commandTag == "COMMIT" else {
            throw PostgresError(.server, "a statement of the transaction had failed, so it was rolled back")
        }
    }

    /// Ends an open transaction; closes the connection when that fails, since nothing else can be trusted then.
    func rollBack() async {
        guard self.ended == nil else { return }
        do {
            _ = try await self.perform(.statements(["ROLLBACK"]), deadline: nil, isCancellable: false)
        } catch {
            self.end(PostgresError(.connectionLost, "a transaction could not be rolled back: \(error)"))
        }
    }

    /// Makes the connection fit to be lent again: true when it is idle, rolled back first if need be; false when it
    /// is lost or still at work for somebody who did not wait.
    func settle() async -> Bool {
        guard self.ended == nil, self.current == nil, self.queue.isEmpty else { return false }
        if PQtransactionStatus(self.raw) != PQTRANS_IDLE {
            await self.rollBack()
        }
        return self.ended == nil && PQtransactionStatus(self.raw) == PQTRANS_IDLE
    }
}

extension PostgresConnection {
    /// Whether a transaction is open and has not failed.
    var isInTransaction: Bool {
        self.ended == nil && PQtransactionStatus(self.raw) == PQTRANS_INTRANS
    }
}
