/// What went wrong with a database, and what is known about the request that met it.
package struct PostgresError: Error, CustomStringConvertible, Sendable {
    /// The kinds of failure that callers tell apart.
    package enum Code: String, Sendable {
        /// No session could be opened.
        case connectFailed
        /// The session ended underneath the request; see `isOutcomeUnknown`.
        case connectionLost
        /// The server refused the statement; see `sqlState`.
        case server
        /// A deadline of this side passed.
        case timedOut
        /// The connection, pool or session was closed by its owner.
        case closed
        /// A value of the answer is not what the caller asked for.
        case decoding
        /// A value of the request cannot be sent, such as text with a NUL.
        case encoding
        /// Too many tasks wait for a connection already.
        case poolExhausted
    }

    /// The kind of failure.
    package let code: Code
    /// What happened, as a sentence for people.
    package let message: String
    /// The server's five-character code (PostgreSQL documentation, appendix A), where it gave one.
    package var sqlState: String?
    /// The name of the constraint that was violated.
    package var constraint: String?
    /// The beginning of the statement, at most 80 characters.
    package var statement: String?
    /// Whether the request may or may not have taken effect: it had been sent, and its answer never came. After a
    /// COMMIT this is a third result next to success and failure: read again, never run again.
    package var isOutcomeUnknown: Bool

    /// Creates an error; everything but the code and the message may be absent.
    package init(
        _ code: Code,
        _ message: String,
        sqlState: String? = nil,
        constraint: String? = nil,
        statement: String? = nil,
        isOutcomeUnknown: Bool = false
    ) {
        self.code = code
        self.message = message
        self.sqlState = sqlState
        self.constraint = constraint
        self.statement = statement
        self.isOutcomeUnknown = isOutcomeUnknown
    }

    /// Whether the unique constraint or index `name` was violated (23505).
    package func isUniqueViolation(of name: String) -> Bool {
        self.sqlState == "23505" && self.constraint == name
    }

    /// Whether the trouble is with the connection or the server's resources rather than with the request, so that the
    /// same request may succeed later. Look at `isOutcomeUnknown` before sending it again.
    package var isConnectionTrouble: Bool {
        if self.code == .connectFailed || self.code == .connectionLost { return true }
        guard let state = self.sqlState else { return false }
        return state.hasPrefix("08") || state.hasPrefix("53") || SQLState.endsSession(state)
            || state == SQLState.readOnly
    }

    /// Whether the same request may well succeed later: connection trouble, a deadline of this side or the server's,
    /// a full pool, or a conflict with another transaction. Look at `isOutcomeUnknown` before sending it again.
    package var isWorthRepeating: Bool {
        switch self.code {
        case .connectFailed, .connectionLost, .timedOut, .poolExhausted: return true
        case .server, .closed, .decoding, .encoding: break
        }
        guard let state = self.sqlState else { return false }
        // Conflict (40), resources (53), read-only (25006), lock not available (55P03), operator intervention (57), system (58).
        return ["08", "40", "53", "57", "58"].contains { state.hasPrefix($0) } || state == "55P03"
            || state == SQLState.readOnly
    }

    package var description: String {
        var text = "\(self.code.rawValue): \(self.message)"
        if let sqlState { text += " [\(sqlState)]" }
        if let constraint { text += " (constraint \(constraint))" }
        if let statement { text += " in: \(statement)" }
        if self.isOutcomeUnknown { text += " (outcome unknown)" }
        return text
    }

    /// Whether a statement was ended for the time it took: by a deadline of this side or the server's.
    package var tookTooLong: Bool {
        self.code == .timedOut || self.sqlState == SQLState.queryCanceled
    }

    /// The same error for a request that was, or was not, on its way when it happened.
    func forRequest(_ statement: String?, outcomeUnknown: Bool) -> PostgresError {
        var error = self
        error.statement = statement
        error.isOutcomeUnknown = outcomeUnknown
        return error
    }
}

/// The SQLSTATEs that this module itself acts on.
enum SQLState {
    static let queryCanceled = "57014"
    static let unknownPreparedStatement = "26000"
    static let featureNotSupported = "0A000"
    static let insufficientPrivilege = "42501"
    /// The server takes no writes: it is not the primary any more, or an operator has closed it.
    static let readOnly = "25006"

    /// Administrator shutdown, crash shutdown, cannot connect now: the server ends the session after these.
    static func endsSession(_ state: String) -> Bool {
        state == "57P01" || state == "57P02" || state == "57P03"
    }
}
