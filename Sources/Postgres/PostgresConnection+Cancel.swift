internal import CPostgres
import Runtime

extension PostgresConnection {
    /// Takes a request out of the queue, or asks the server to stop it if it is under way.
    func interrupt(_ id: UInt64, because reason: Request.Interruption) {
        if let index = self.queue.firstIndex(where: { $0.id == id }) {
            let request = self.queue.remove(at: index)
            switch reason {
            case .cancelled:
                request.resume(throwing: CancellationError())
            case .deadline:
                let message = "the request waited for its connection longer than its deadline"
                request.resume(throwing: PostgresError(.timedOut, message, statement: request.work.summary))
            }
            return
        }
        guard let request = self.current, request.id == id, request.interruption == nil, self.ended == nil else {
            return
        }
        request.interruption = reason
        self.cancelCurrent(id)
    }

    private func cancelCurrent(_ id: UInt64) {
        guard let raw = PQgetCancel(self.raw) else { return self.lose() }
        let ticket = CancelTicket(raw: raw)
        self.reactor.after(self.options.cancelGrace) { [weak self] in
            self?.assumeIsolated { $0.giveUp(id) }
        }
        // Nobody awaits this task: it ends with the request, within the grace.
        Task { await self.cancel(id, by: ticket) }
    }

    /// Asks again until the request has ended: the server ignores a cancellation that overtakes its statement.
    private func cancel(_ id: UInt64, by ticket: CancelTicket) async {
        var pause = Duration.milliseconds(5)
        while self.current?.id == id {
            // No other request starts before the cancellation has arrived: it would hit the wrong one.
            self.cancelling = id
            do {
                try await self.blocking.run { ticket.send() }
            } catch {
                // The closure does not throw; a cancellation that was not delivered is noticed by `giveUp`.
            }
            self.cancelling = nil
            self.startNext()
            guard self.current?.id == id else { return }
            do {
                try await Task.sleep(for: pause)
            } catch {
                // This task is never cancelled.
            }
            pause = min(pause * 2, .milliseconds(200))
        }
    }

    /// The server has not ended the cancelled request in time: it, or the way to it, is dead.
    private func giveUp(_ id: UInt64) {
        let isStuck = self.current?.id == id || self.cancelling == id
        guard isStuck else { return }
        self.end(PostgresError(.connectionLost, "the server did not answer a cancelled request in time"))
    }
}

/// libpq's cancellation handle.
///
/// `@unchecked Sendable`: it is a copy of the connection's address made for use by another thread.
private final class CancelTicket: @unchecked Sendable {
    private let raw: OpaquePointer

    init(raw: OpaquePointer) {
        self.raw = raw
    }

    deinit {
        PQfreeCancel(self.raw)
    }

    /// Opens a connection of its own and blocks until the server has closed it.
    func send() {
        var message = [CChar](repeating: 0, count: 256)
        // Failure shows in the request, which then outlives its grace.
        _ = PQcancel(self.raw, &message, Int32(message.count))
    }
}
