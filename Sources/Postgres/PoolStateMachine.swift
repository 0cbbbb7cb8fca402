/// Who waits for a connection, who has one, what is opened and closed: every decision of the pool, as a value.
///
/// Each method takes an event and returns what the shell has to do; nothing here waits, locks or talks to a server.
struct PoolStateMachine: Sendable {
    typealias ConnectionID = Int
    typealias WaiterID = Int

    /// What the shell must do.
    enum Action: Equatable {
        /// Open a connection and report `opened` or `openFailed`.
        case open(ConnectionID)
        /// Give the connection to the waiter.
        case lend(ConnectionID, to: WaiterID)
        /// Close a connection that the pool has forgotten.
        case close(ConnectionID)
        /// Tell the waiter that it gets none.
        case refuse(WaiterID, Refusal)
        /// Report `retryDue` after the backoff delay for this attempt.
        case retry(attempt: Int)
    }

    /// Why a waiter gets no connection.
    enum Refusal: Equatable {
        case tooManyWaiters, waitedTooLong, poolClosed
    }

    private enum Connection: Equatable {
        case opening, idle, lent
        /// Ended while somebody has it.
        case condemned
    }

    private let size: Int
    private let waiterLimit: Int
    private var connections: [ConnectionID: Connection] = [:]
    /// Idle connections, the most recently used last and lent first: the rest may fall asleep.
    private var idle: [ConnectionID] = []
    private var waiters: [WaiterID] = []
    private var lastConnection = 0
    private var failedAttempts = 0
    private var isCoolingDown = false
    private(set) var isClosed = false

    /// At most `size` connections and `waiterLimit` waiters.
    init(size: Int, waiterLimit: Int) {
        precondition(size > 0 && waiterLimit >= 0, "a pool lends at least one connection")
        self.size = size
        self.waiterLimit = waiterLimit
    }

    var idleCount: Int { self.idle.count }
    var waiterCount: Int { self.waiters.count }
    var openingCount: Int { self.connections.values.count { $0 == .opening } }
    var lentCount: Int { self.connections.count - self.idle.count - self.openingCount }

    /// Somebody wants a connection.
    mutating func acquire(_ waiter: WaiterID) -> [Action] {
        guard !self.isClosed else { return [.refuse(waiter, .poolClosed)] }
        if let connection = self.idle.popLast() {
            self.connections[connection] = .lent
            return [.lend(connection, to: waiter)]
        }
        guard self.waiters.count < self.waiterLimit else { return [.refuse(waiter, .tooManyWaiters)] }
        self.waiters.append(waiter)
        return self.openForWaiters()
    }

    /// The waiter gave up by itself. Returns false when it was no longer waiting.
    mutating func abandon(_ waiter: WaiterID) -> Bool {
        guard let index = self.waiters.firstIndex(of: waiter) else { return false }
        self.waiters.remove(at: index)
        return true
    }

    /// The waiter's deadline has passed.
    mutating func expire(_ waiter: WaiterID) -> [Action] {
        self.abandon(waiter) ? [.refuse(waiter, .waitedTooLong)] : []
    }

    mutating func opened(_ connection: ConnectionID) -> [Action] {
        self.failedAttempts = 0
        guard self.connections[connection] == .opening, !self.isClosed else {
            self.connections[connection] = nil
            return [.close(connection)]
        }
        return self.offer(connection) + self.openForWaiters()
    }

    mutating func openFailed(_ connection: ConnectionID) -> [Action] {
        self.connections[connection] = nil
        guard !self.isClosed, !self.isCoolingDown else { return [] }
        self.isCoolingDown = true
        self.failedAttempts += 1
        return [.retry(attempt: self.failedAttempts - 1)]
    }

    mutating func retryDue() -> [Action] {
        self.isCoolingDown = false
        return self.openForWaiters()
    }

    /// A borrower is done. `isHealthy` is false when the connection must not be lent again.
    mutating func returned(_ connection: ConnectionID, isHealthy: Bool) -> [Action] {
        guard let state = self.connections[connection], state == .lent || state == .condemned else { return [] }
        guard isHealthy, state == .lent, !self.isClosed else {
            self.connections[connection] = nil
            return [.close(connection)] + self.openForWaiters()
        }
        return self.offer(connection)
    }

    /// The connection has ended by itself. One that is lent is let go when it returns.
    mutating func lost(_ connection: ConnectionID) -> [Action] {
        switch self.connections[connection] {
        case .idle:
            self.connections[connection] = nil
            self.idle.removeAll { $0 == connection }
            return [.close(connection)] + self.openForWaiters()
        case .lent:
            self.connections[connection] = .condemned
            return []
        case .opening, .condemned, nil:
            return []
        }
    }

    mutating func close() -> [Action] {
        guard !self.isClosed else { return [] }
        self.isClosed = true
        let refused = self.waiters.map { Action.refuse($0, .poolClosed) }
        let closed = self.idle.map { Action.close($0) }
        for connection in self.idle { self.connections[connection] = nil }
        self.waiters = []
        self.idle = []
        return refused + closed
    }

    /// Lends to the waiter that came first, or keeps the connection.
    private mutating func offer(_ connection: ConnectionID) -> [Action] {
        guard !self.waiters.isEmpty else {
            self.connections[connection] = .idle
            self.idle.append(connection)
            return []
        }
        self.connections[connection] = .lent
        return [.lend(connection, to: self.waiters.removeFirst())]
    }

    /// Opens as many connections as there are waiters without one on the way. After a failure one attempt at a time:
    /// a server that comes back is not met by a crowd.
    private mutating func openForWaiters() -> [Action] {
        guard !self.isClosed, !self.isCoolingDown else { return [] }
        let opening = self.openingCount
        let room = self.size - self.connections.count
        let allowed = self.failedAttempts > 0 ? 1 - opening : self.waiters.count - opening
        return (0..<max(0, min(room, allowed, self.waiters.count - opening))).map { _ in
            self.lastConnection += 1
            self.connections[self.lastConnection] = .opening
            return .open(self.lastConnection)
        }
    }
}
