import Runtime

/// One caller's part of a lock statement.
struct LockRequest {
    enum Verb {
        case lock, unlock
    }

    let verb: Verb
    let keys: [Int64]
    let continuation: CheckedContinuation<LockAnswer, any Error>
}

/// The answer to `tryLockInSession`.
package struct LockAnswer: Sendable {
    /// The session that holds the locks; they are gone when another one begins.
    package let session: Int
    /// For each key, in order, whether it was granted.
    package let granted: [Bool]
}

extension DirectSession {
    /// Tries to take session locks, in one statement, without waiting for any; concurrent callers share a statement.
    /// Granted again to a session that has the lock already, which then needs as many unlocks: exclusion among the
    /// tasks of this process is the caller's business. Throws `PostgresError`; after an error no lock is held, since
    /// the connection is dropped when it is not certain what was granted.
    package func tryLock(_ keys: [Int64]) async throws -> [Bool] {
        try await self.tryLockInSession(keys).granted
    }

    /// The same, saying in which session, so that a loss in between can be told.
    package func tryLockInSession(_ keys: [Int64]) async throws -> LockAnswer {
        try await self.request(.lock, keys)
    }

    /// Gives locks back, in one statement. When that fails, the connection is dropped rather than a lock leaked. Throws
    /// `PostgresError`; the locks are gone all the same.
    package func unlock(_ keys: [Int64]) async throws {
        let answer = try await self.request(.unlock, keys)
        let unheld = zip(keys, answer.granted).filter { !$0.1 }.count
        if unheld > 0 {
            self.log.warning("locks were given back that were not held", ["count": .count(unheld)])
        }
    }

    /// Not cancellable: the statement is shared, and bounded by the heartbeat deadline.
    private func request(_ verb: LockRequest.Verb, _ keys: [Int64]) async throws -> LockAnswer {
        try await withCheckedThrowingContinuation { continuation in
            let mustStart = self.state.withLock { state in
                state.pending.append(LockRequest(verb: verb, keys: keys, continuation: continuation))
                defer { state.isWorking = true }
                return !state.isWorking
            }
            guard mustStart else { return }
            // Awaited through the continuations: it ends when every request has been answered.
            Task { await self.work() }
        }
    }

    /// Answers requests until there are none, all that have come together at a time.
    private func work() async {
        while let batch = self.nextBatch() {
            await self.perform(batch)
        }
    }

    private func nextBatch() -> [LockRequest]? {
        self.state.withLock { state in
            guard !state.pending.isEmpty else {
                state.isWorking = false
                return nil
            }
            defer { state.pending = [] }
            return state.pending
        }
    }

    private func perform(_ batch: [LockRequest]) async {
        let (connection, number) = self.state.withLock { ($0.connection, $0.number) }
        guard let connection else {
            let error = PostgresError(.connectionLost, "the direct session is not connected")
            for request in batch { request.continuation.resume(throwing: error) }
            return
        }
        let released = batch.filter { $0.verb == .unlock }
        let wanted = batch.filter { $0.verb == .lock }
        do {
            // What is given back first is free for who asks in the same batch.
            let groups = [released, wanted].filter { !$0.isEmpty }
            let answers = try await self.bounded(connection, groups.map(Self.statement))
            for (group, answer) in zip(groups, answers) {
                var flags = try answer.rows.map { try $0.get("done", as: Bool.self) }[...]
                for request in group {
                    let own = Array(flags.prefix(request.keys.count))
                    flags = flags.dropFirst(request.keys.count)
                    request.continuation.resume(returning: LockAnswer(session: number, granted: own))
                }
            }
        } catch {
            let failure = error as? PostgresError ?? PostgresError(.connectionLost, "\(error)")
            let reason = "a lock statement failed, so all locks are given up: \(failure.message)"
            await connection.end(PostgresError(.connectionLost, reason, sqlState: failure.sqlState))
            for request in batch { request.continuation.resume(throwing: failure) }
        }
    }

    /// Keys of all requests, flags in the order of keys.
    private static func statement(for group: [LockRequest]) -> Query {
        let keys = group.flatMap(\.keys)
        return group.first?.verb == .unlock
            ? """
            SELECT pg_advisory_unlock(k.key) AS done
            FROM unnest(\(keys)::bigint[]) WITH ORDINALITY AS k (key, place) ORDER BY place
            """
            : """
            SELECT pg_try_advisory_lock(k.key) AS done
            FROM unnest(\(keys)::bigint[]) WITH ORDINALITY AS k (key, place) ORDER BY place
            """
    }
}
