import Runtime

// Write-through: a task sends on the socket itself, under the connection's lock, because a hop to the reactor for each
// event is what latency would consist of. `send` does not block. The lock is what keeps the descriptor open meanwhile.
extension Connection {
    /// What became of bytes handed over.
    enum Push: Equatable {
        case taken
        /// Taken, but too many wait: the writer should.
        case full
        case gone
    }

    /// Sends `bytes` for the exchange with this number, or queues what the socket does not take.
    /// After the `last` bytes of a response the server fills no silence.
    func push(_ bytes: [UInt8], exchange: Int, last: Bool = false) -> Push {
        let cap = self.loop.configuration.pendingBytes
        let (push, needsReactor, isBroken) = self.outbound.withLock { outbound -> (Push, Bool, Bool) in
            guard !outbound.isClosed, outbound.exchange == exchange else { return (.gone, false, false) }
            if last { outbound.silence = nil }
            let before = outbound.count
            guard outbound.send(bytes, to: self.descriptor) == nil else { return (.gone, true, true) }
            return (outbound.count > cap ? .full : .taken, before == 0 && outbound.count > 0, false)
        }
        if needsReactor {
            self.loop.reactor.perform {
                if isBroken { self.close() } else { self.updateInterest() }
            }
        }
        return push
    }

    /// Sends `bytes` and waits for room if too many wait for the peer.
    func write(_ bytes: consuming [UInt8], exchange: Int) async throws {
        let push = self.push(bytes, exchange: exchange)
        _ = consume bytes
        switch push {
        case .taken: return
        case .gone: throw HTTPError.peerGone
        case .full: break
        }
        let id = self.outbound.withLock { outbound in
            outbound.lastWaiter += 1
            return outbound.lastWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter in
                self.park(waiter, id)
            }
        } onCancel: {
            let waiter = self.outbound.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.resume(throwing: CancellationError())
        }
    }

    private func park(_ waiter: Outbound.Waiter, _ id: Int) {
        let cap = self.loop.configuration.pendingBytes
        let verdict = self.outbound.withLock { outbound -> Result<Void, any Error>? in
            if outbound.isClosed { return .failure(HTTPError.peerGone) }
            // A cancellation before this line found no waiter to resume; one after it will find this one.
            if Task.isCancelled { return .failure(CancellationError()) }
            if outbound.count <= cap / 2 { return .success(()) }
            outbound.waiters[id] = waiter
            return nil
        }
        if let verdict { waiter.resume(with: verdict) }
    }

    /// Has `bytes` sent whenever nothing was for `interval`, until the exchange is over.
    func fillSilence(every interval: Duration, with bytes: [UInt8], exchange: Int) {
        self.outbound.withLock { outbound in
            guard outbound.exchange == exchange else { return }
            outbound.silence = (interval, bytes)
        }
    }
}
