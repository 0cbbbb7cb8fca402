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

    /// `patience` bounds how long one service may take to stop before it is left behind.
    package init(_ services: [any Service], patience: Duration, log: Logger) {
        self.services = services
        self.patience = patience
        self.log = log
    }

    /// Runs everything until `stop` is raised, the caller's task is cancelled or a service ends; throws the error of the
    /// first service that failed. Returns in bounded time: a service that does not stop is left to run as it is, for the
    /// end of the process, which comes right after.
    package func run(until stop: StopSignal) async throws {
        let failure = Locked<(any Error)?>(nil)
        let running = self.services.map { service in
            let one = RunningService(service: service)
            // Awaited by `stopOne`, for as long as its patience lasts. No child of this task: it would be waited for without an
            // end, and one that finds itself cancelled spins over its waits; a few of those take every thread of the pool.
            Task {
                do {
                    try await service.run(until: one.stop)
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    self.log.error("service failed", ["service": .text(service.name), "error": .error(error)])
                }
                one.ended.resolve(())
                stop.raise()
            }
            return one
        }
        // A cancellation is a wish to stop, too.
        await stop.wait()
        for one in running.reversed() {
            await self.stopOne(one)
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
