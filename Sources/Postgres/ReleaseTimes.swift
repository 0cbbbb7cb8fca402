/// When the server gives up a session whose client is silent, and with it the session's locks: its own word, read in
/// that very session, since roles, poolers and operators may have changed what was asked for.
struct ReleaseTimes: Sendable, Hashable {
    /// The client would still believe in locks that the server may have given away.
    struct TooEarly: Error, Sendable, Hashable, CustomStringConvertible {
        let description: String
    }

    /// In milliseconds; 0 means never.
    let idleSession: Int
    /// In milliseconds; 0 where the session is not over TCP.
    let userTimeout: Int
    /// The silence after which keepalives end the session, in milliseconds; 0 where the session is not over TCP.
    let keepalives: Int

    /// Reads the row of `query`.
    init(_ row: Row) throws {
        self.idleSession = try row.get("idle_session")
        self.userTimeout = try row.get("user_timeout")
        self.keepalives = try row.get("keepalives")
    }

    init(idleSession: Int, userTimeout: Int, keepalives: Int) {
        self.idleSession = idleSession
        self.userTimeout = userTimeout
        self.keepalives = keepalives
    }

    /// Also the session's first heartbeat. In a Unix socket's session the server answers 0 for all of TCP.
    static let query: Query = """
        SELECT max(setting::integer) FILTER (WHERE name = 'idle_session_timeout') AS idle_session,
            max(setting::integer) FILTER (WHERE name = 'tcp_user_timeout') AS user_timeout,
            1000 * (max(setting::integer) FILTER (WHERE name = 'tcp_keepalives_idle')
                + max(setting::integer) FILTER (WHERE name = 'tcp_keepalives_interval')
                * max(setting::integer) FILTER (WHERE name = 'tcp_keepalives_count')) AS keepalives
        FROM pg_settings
        """

    /// Throws when the server may let go before a client that trusts for `trust` and needs `margin` more has stopped,
    /// or when it never lets go of a client that is frozen.
    func check(trust: Duration, margin: Duration) throws(TooEarly) {
        guard self.idleSession > 0 else {
            throw TooEarly(description: "the server never ends a silent session: idle_session_timeout is 0 in it")
        }
        let times = [
            ("idle_session_timeout", self.idleSession), ("tcp_user_timeout", self.userTimeout),
            ("tcp_keepalives", self.keepalives),
        ]
        for (name, time) in times where time > 0 && .milliseconds(time) < trust + margin {
            throw TooEarly(
                description: "the server may release locks after \(time) ms of silence (\(name)), but this replica "
                    + "trusts them for \(trust) and needs \(margin) more to stop"
            )
        }
    }
}
