/// A long-lived part of the process: one `run`, which returns once `stop` has been raised and its work is wound up.
package protocol Service: Sendable {
    /// A short name for logs.
    var name: String { get }

    /// Runs until `stop` is raised. Returning earlier, or throwing, ends the whole process in order.
    func run(until stop: StopSignal) async throws
}

/// Runs services in order and stops them in reverse.
///
/// The order of the array is the order of dependency: a service may use those before it, so on the way down each is
/// stopped, and waited for, before the ones it relies on.
package struct ServiceGroup: Sendable {
    private let services: [any Service]
    private let log: Logger
    private let patience: Duration

    /// `patience` bounds how long one service may take to stop before its task is cancelled.
    package init(_ services: [any Service], patience: Duration, log: Logger) {
        self.services = services
        self.patience = patience
        self.log = log
    }

    /// Runs everything until `stop` is raised, the caller's task is cancelled or a service ends; throws the error of the
    /// first service that failed.
    package func run(until stop: StopSignal) async throws {
        // Awaited here. Cancellation is a wish to stop, and services stop in order: one that found its task cancelled before
        // it is told to stop would spin over its waits, and a few of those take every thread of the pool.
        let services = Task { try await self.runServices(until: stop) }
        try await withTaskCancellationHandler {
            try await services.value
        } onCancel: {
            stop.raise()
        }
    }

    private func runServices(until stop: StopSignal) async throws {
        let failure = Locked<(any Error)?>(nil)
        await withTaskGroup(of: Void.self) { group in
            let running = self.services.map { RunningService(service: $0) }
            for one in running {
                group.addTask {
                    do {
                        try await one.service.run(until: one.stop)
                    } catch {
                        failure.withLock { $0 = $0 ?? error }
                        self.log.error("service failed", ["service": .text(one.service.name), "error": .error(error)])
                    }
                    one.ended.resolve(())
                    stop.raise()
                }
            }
            await stop.wait()
            for one in running.reversed() {
                await self.stopOne(one)
            }
            group.cancelAll()
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    private func stopOne(_ one: RunningService) async {
        one.stop.raise()
        let timer = Task.timer(after: self.patience) { [log] in
            log.error("service did not stop in time", ["service": .text(one.service.name)])
            one.ended.resolve(())
        }
        await one.ended.value()
        timer.cancel()
    }
}

private struct RunningService: Sendable {
    let service: any Service
    let stop = StopSignal()
    let ended = OneShot<Void>()
}

extension Task where Success == Void, Failure == Never {
    /// A timer as a task; the caller that starts it is the one that cancels it.
    fileprivate static func timer(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> Self {
        Task {
            do {
                try await Task<Never, Never>.sleep(for: delay)
                body()
            } catch {
                // Cancelled: the service stopped in time.
            }
        }
    }
}
