package import Runtime

/// The one session that holds every session advisory lock of this process, and listens.
///
/// Not pooled and not through a pooler, both of which would let locks go astray. The session watches its socket, beats,
/// and counts its trust from the start of the last good heartbeat on a clock that runs during suspends, so that it stops
/// believing before the server may let the locks go. When it is lost every lock is gone at once; it reconnects by
/// itself, and its owner takes the locks again.
package final class DirectSession: Service, Sendable {
    /// How the session behaves. The defaults keep `trustWindow` + 1.25 s within `idleSessionTimeout`.
    package struct Configuration: Sendable {
        /// The connection string; must lead directly to the server.
        package var conninfo: String
        /// Channels to listen on from the start.
        package var channels: [String] = []
        /// Time from one heartbeat to the next.
        package var heartbeatInterval: Duration = .seconds(1)
        /// How long a heartbeat or a lock statement may take before the connection is given up.
        package var heartbeatDeadline: Duration = .seconds(1)
        /// How long after the start of a good heartbeat the session is trusted.
        package var trustWindow: Duration = .seconds(3)
        /// After how much silence the server ends the session, and with it the locks.
        package var idleSessionTimeout: Duration = .seconds(5)
        /// How long the server lets a statement run.
        package var statementTimeout: Duration = .seconds(1)
        /// How long opening a connection may take.
        package var connectDeadline: Duration = .seconds(2)
        /// The delay between attempts to connect.
        package var backoff = Backoff(first: .milliseconds(20), longest: .milliseconds(500))

        /// The defaults of the timing budget.
        package init(conninfo: String, channels: [String] = []) {
            self.conninfo = conninfo
            self.channels = channels
        }
    }

    struct State {
        var connection: PostgresConnection?
        var number = 0
        /// When the last heartbeat that was answered began; stays when the session is lost.
        var lastGoodHeartbeat: ContinuousClock.Instant?
        var channels: [String]
        var pending: [LockRequest] = []
        var isWorking = false
        var lostCallbacks: [@Sendable () -> Void] = []
        var connectedCallbacks: [@Sendable (Int) -> Void] = []
        var notificationCallbacks: [@Sendable (String, String) -> Void] = []
    }

    /// A name for people.
    package let name = "postgres direct session"
    let configuration: Configuration
    let reactor: Reactor
    let blocking: BlockingPool
    let log: Logger
    let state: Locked<State>
    private let counter = RoundTripCounter()

    /// Creates the session; `run` connects it.
    package init(configuration: Configuration, reactor: Reactor, blocking: BlockingPool, log: Logger) {
        self.configuration = configuration
        self.reactor = reactor
        self.blocking = blocking
        self.log = log
        self.state = Locked(State(channels: configuration.channels))
    }

    /// Calls `body`, on the reactor's thread, each time the connection and all locks with it are lost. Not called when
    /// the session stops in order. Register before `run`.
    package func onLost(_ body: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.lostCallbacks.append(body) }
    }

    /// Calls `body` with the session's number (1 is the first), on the reactor's thread, each time it is connected and
    /// listens. No lock is held then. Register before `run`.
    package func onConnected(_ body: @escaping @Sendable (Int) -> Void) {
        self.state.withLock { $0.connectedCallbacks.append(body) }
    }

    /// Calls `body` with channel and payload of each notification, on the reactor's thread.
    package func onNotification(_ body: @escaping @Sendable (String, String) -> Void) {
        self.state.withLock { $0.notificationCallbacks.append(body) }
    }

    /// Whether the session is connected and a heartbeat that began within the trust window was answered.
    package var isTrusted: Bool {
        self.trustEnds.map { ContinuousClock.now < $0 } ?? false
    }

    /// When trust ends unless another heartbeat succeeds; nil while disconnected.
    package var trustEnds: ContinuousClock.Instant? {
        self.state.withLock { state in
            state.connection == nil ? nil : state.lastGoodHeartbeat.map { $0 + self.configuration.trustWindow }
        }
    }

    /// When the last heartbeat that was answered began, in this session or the one before; nil before the first.
    package var lastGoodHeartbeat: ContinuousClock.Instant? {
        self.state.withLock { $0.lastGoodHeartbeat }
    }

    /// The number of the current session; nil while disconnected.
    package var sessionNumber: Int? {
        self.state.withLock { $0.connection == nil ? nil : $0.number }
    }

    /// Requests sent so far, heartbeats included.
    package var roundTrips: Int {
        self.counter.value
    }

    /// Listens on more channels, now and after each reconnect. Throws `PostgresError`.
    package func listen(_ channels: [String]) async throws {
        let connection = self.state.withLock { state in
            state.channels += channels.filter { !state.channels.contains($0) }
            return state.connection
        }
        try await connection?.pipeline(Self.listenStatements(channels))
    }

    /// Connects, beats and reconnects until `stop` is raised; then closes. Throws `PostgresError` at once when the
    /// timing budget does not add up, and `ReleaseTimes.TooEarly` when the server's own settings break it.
    package func run(until stop: StopSignal) async throws {
        try self.configuration.validate()
        var attempt = 0
        while !stop.isRaised {
            do {
                let (connection, heartbeat) = try await self.open()
                attempt = 0
                await self.serve(connection, heartbeat: heartbeat, until: stop)
            } catch let error as ReleaseTimes.TooEarly {
                throw error
            } catch {
                self.log.warning("the direct session cannot connect", ["error": .error(error)])
            }
            if await stop.wait(atMost: self.configuration.backoff.delay(attempt: attempt)) { break }
            attempt += 1
        }
    }

    // MARK: - One connection

    private func open() async throws -> (PostgresConnection, ContinuousClock.Instant) {
        var options = PostgresConnection.Options()
        options.settings = self.configuration.libpqSettings
        options.roundTrips = self.counter
        options.onNotification = { [weak self] channel, payload in
            for callback in self?.state.withLock({ $0.notificationCallbacks }) ?? [] { callback(channel, payload) }
        }
        let connection = try await PostgresConnection.connect(
            self.configuration.conninfo,
            on: self.reactor,
            blocking: self.blocking,
            deadline: self.configuration.connectDeadline,
            log: self.log,
            options: options
        )
        do {
            let heartbeat = ContinuousClock.now
            let channels = self.state.withLock { $0.channels }
            let answers = try await self.bounded(connection, Self.listenStatements(channels) + [ReleaseTimes.query])
            if let row = answers.last?.rows.first {
                try ReleaseTimes(row).check(trust: self.configuration.trustWindow, margin: Self.Configuration.margin)
            }
            return (connection, heartbeat)
        } catch {
            await connection.close()
            throw error
        }
    }

    private func serve(
        _ connection: PostgresConnection,
        heartbeat: ContinuousClock.Instant,
        until stop: StopSignal
    ) async {
        let wake = StopSignal()
        let forget = stop.whenRaised { wake.raise() }
        // On the reactor's thread, where a loss happens too, so that it is never reported before the connection is.
        self.reactor.perform {
            self.connected(connection, heartbeat: heartbeat)
            connection.whenLost { error in
                self.lost(connection, because: error)
                wake.raise()
            }
        }
        while !(await wake.wait(atMost: self.configuration.heartbeatInterval)) {
            await self.beat(connection)
        }
        forget()
        self.state.withLock { state in
            if state.connection === connection { state.connection = nil }
        }
        await connection.close()
    }

    private func beat(_ connection: PostgresConnection) async {
        let start = ContinuousClock.now
        do {
            let answers = try await self.bounded(connection, [Self.heartbeat])
            if try answers.first?.rows.first?.get("is_read_only") ?? true {
                throw PostgresError(.connectionLost, "the server takes no writes any more", sqlState: SQLState.readOnly)
            }
            self.state.withLock { state in
                if state.connection === connection { state.lastGoodHeartbeat = start }
            }
        } catch {
            // Ends the connection, whatever is wrong: a session that cannot beat is not to be trusted with locks.
            let failure = error as? PostgresError ?? PostgresError(.connectionLost, "\(error)")
            await connection.end(PostgresError(.connectionLost, failure.message, sqlState: failure.sqlState))
        }
    }

    /// Sends statements that must be answered within the heartbeat deadline; otherwise the connection ends at once.
    @discardableResult
    func bounded(_ connection: PostgresConnection, _ queries: [Query]) async throws -> [ResultSet] {
        let timer = self.reactor.after(self.configuration.heartbeatDeadline) { [weak connection] in
            connection?.assumeIsolated {
                $0.end(PostgresError(.connectionLost, "the server did not answer within the heartbeat deadline"))
            }
        }
        defer { timer.cancel() }
        return try await connection.perform(.statements(queries), deadline: nil, isCancellable: false).results
    }

    private func connected(_ connection: PostgresConnection, heartbeat: ContinuousClock.Instant) {
        let (number, callbacks) = self.state.withLock { state in
            state.number += 1
            state.connection = connection
            state.lastGoodHeartbeat = heartbeat
            return (state.number, state.connectedCallbacks)
        }
        self.log.info("the direct session is connected", ["session": .count(number)])
        for callback in callbacks { callback(number) }
    }

    private func lost(_ connection: PostgresConnection, because error: PostgresError) {
        let callbacks = self.state.withLock { state -> [@Sendable () -> Void] in
            guard state.connection === connection else { return [] }
            state.connection = nil
            return state.lostCallbacks
        }
        guard !callbacks.isEmpty || error.code != .closed else { return }
        self.log.warning("the direct session is lost", ["error": .error(error)])
        for callback in callbacks { callback() }
    }

    /// Also asks whether the server still takes writes, which a standby does not: where it does not, nobody else asks for
    /// its locks, and the next connection finds the server that does.
    private static let heartbeat: Query = "SELECT current_setting('transaction_read_only')::boolean AS is_read_only"

    private static func listenStatements(_ channels: [String]) -> [Query] {
        channels.map { Query(unescaped: "LISTEN \(quotedIdentifier($0))") }
    }
}

extension DirectSession.Configuration {
    /// What a holder needs after its trust has ended, to stop what it is doing before the server may let go.
    static let margin: Duration = .milliseconds(1250)

    fileprivate func validate() throws(PostgresError) {
        guard self.trustWindow + Self.margin <= self.idleSessionTimeout else {
            let message =
                "the trust window \(self.trustWindow) must end 1.25 s before the server's idle session timeout"
            throw PostgresError(.connectFailed, "\(message), which is \(self.idleSessionTimeout)")
        }
        guard self.heartbeatInterval + self.heartbeatDeadline <= self.trustWindow else {
            throw PostgresError(.connectFailed, "a heartbeat and its deadline must fit into the trust window")
        }
    }

    /// The client notices a dead path in 2 to 3 s. The server notices silence first by `idleSessionTimeout`; what TCP
    /// tells it must not come earlier.
    fileprivate var libpqSettings: [(name: String, value: String)] {
        let release = self.idleSessionTimeout.wholeMilliseconds
        let server = [
            "-c idle_session_timeout=\(release)",
            "-c statement_timeout=\(self.statementTimeout.wholeMilliseconds)",
            "-c tcp_keepalives_idle=\((release + 999) / 1000)", "-c tcp_keepalives_interval=1",
            "-c tcp_keepalives_count=3", "-c tcp_user_timeout=\(release + 3_000)",
        ]
        let own = Conninfo.value(of: "options", in: self.conninfo).map { [$0] } ?? []
        return [
            ("keepalives", "1"), ("keepalives_idle", "1"), ("keepalives_interval", "1"), ("keepalives_count", "2"),
            ("tcp_user_timeout", "2000"), ("target_session_attrs", "read-write"),
            ("options", (own + server).joined(separator: " ")),
        ]
    }
}

extension Duration {
    /// As the server's settings take it.
    var wholeMilliseconds: Int64 {
        self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
