import Runtime

/// The hosts of one connection string, asked one after another: each one as soon as the one before has failed or has been
/// silent for a while. libpq would wait for a machine that is gone until the deadline, and never come to the next.
struct HostRace: Sendable {
    typealias Parameters = [(name: String, value: String)]

    /// How long a host may be silent before the next one is asked as well.
    static let patience: Duration = .milliseconds(250)

    private let hosts: [Parameters]
    private let reactor: Reactor
    private let blocking: BlockingPool

    /// Reads the hosts. Of several the one that takes writes is meant, unless the string says otherwise.
    init(_ conninfo: String, reactor: Reactor, blocking: BlockingPool) {
        let attributes = "target_session_attrs"
        let isChosen = Conninfo.value(of: attributes, in: conninfo) != nil
        let wish = isChosen ? [] : [(name: attributes, value: "read-write")]
        self.hosts = Conninfo.hosts(in: conninfo).map { $0 + wish }
        self.reactor = reactor
        self.blocking = blocking
    }

    /// The first session that `open` gets with a host's parameters, none where there is one host. Throws what the only
    /// host did, or all that the hosts did as one `PostgresError`.
    func first(
        _ open: @escaping @Sendable (Parameters) async throws -> ConnectionHandle
    ) async throws -> ConnectionHandle {
        guard !self.hosts.isEmpty else { return try await open([]) }
        let gates = (0...self.hosts.count).map { _ in OneShot<Void>() }
        gates[0].resolve(())
        return try await withThrowingTaskGroup(of: Result<ConnectionHandle, any Error>.self) { group in
            for (number, host) in self.hosts.enumerated() {
                group.addTask {
                    await gates[number].value()
                    let timer = self.reactor.after(Self.patience) { gates[number + 1].resolve(()) }
                    defer { timer.cancel() }
                    do {
                        try Task.checkCancellation()
                        return .success(try await open(host))
                    } catch {
                        gates[number + 1].resolve(())
                        return .failure(error)
                    }
                }
            }
            var winner: ConnectionHandle?
            var failures: [any Error] = []
            for try await answer in group {
                switch answer {
                case .success(let handle) where winner == nil:
                    winner = handle
                    group.cancelAll()
                    for gate in gates { gate.resolve(()) }
                case .success(let late):
                    await late.finish(self.blocking)
                case .failure(let failure):
                    failures.append(failure)
                }
            }
            guard let winner else { throw Self.summary(failures) }
            return winner
        }
    }

    private static func summary(_ failures: [any Error]) -> any Error {
        let errors = failures.compactMap { $0 as? PostgresError }
        // Of another kind is only the caller's own cancellation.
        guard errors.count == failures.count else { return CancellationError() }
        let code: PostgresError.Code = errors.allSatisfy { $0.code == .timedOut } ? .timedOut : .connectFailed
        return PostgresError(code, errors.map(\.message).joined(separator: "; "))
    }
}
