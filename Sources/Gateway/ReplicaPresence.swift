import Domain
import Faults
import Runtime
import Store

/// Shows that this replica lives, and finds the ones that do not.
///
/// Each replica holds a presence lock on its lock session. A peer that can take it knows that the session is gone; when
/// it stays so for `Limits.presenceGrace`, the peer settles what the dead replica has left.
final class ReplicaPresence: Service {
    let name = "presence"
    private let store: Store
    private let circuits: CircuitBoard
    private let leases: LeaseKeeper
    private let sweeper: Sweeper
    private let workers: @Sendable () -> Int
    private let isDraining: @Sendable () -> Bool
    private let drain: @Sendable () -> Void
    private let hostAccounts: @Sendable () async throws -> Void
    private let wakeDispatcher: WakeUp
    private let configuration: GatewayConfiguration
    private let log: Logger

    init(
        store: Store,
        circuits: CircuitBoard,
        leases: LeaseKeeper,
        sweeper: Sweeper,
        wakeDispatcher: WakeUp,
        workers: @escaping @Sendable () -> Int,
        isDraining: @escaping @Sendable () -> Bool,
        drain: @escaping @Sendable () -> Void,
        hostAccounts: @escaping @Sendable () async throws -> Void,
        configuration: GatewayConfiguration,
        log: Logger
    ) {
        self.store = store
        self.circuits = circuits
        self.leases = leases
        self.sweeper = sweeper
        self.wakeDispatcher = wakeDispatcher
        self.workers = workers
        self.isDraining = isDraining
        self.drain = drain
        self.hostAccounts = hostAccounts
        self.configuration = configuration
        self.log = log
    }

    func run(until stop: StopSignal) async throws {
        try await self.appear(until: stop)
        var freeSince: [ReplicaID: ContinuousClock.Instant] = [:]
        // Few enough that none of them waits long for the others.
        var batch = SweepBatch(most: 1_000)
        var rounds = 0
        while await !stop.wait(atMost: self.delay(freeSince)) {
            do {
                try await self.watch(&freeSince, &batch)
            } catch {
                // Nothing may be concluded about peers from a look that failed.
                freeSince = [:]
                self.log.debug("presence could not be checked", ["error": .error(error)])
            }
            rounds += 1
            do {
                // Somebody may wait for the end of a drain, so that is told more often.
                if rounds % 4 == 0 || self.isDraining() { try await self.beat() }
                try await self.circuits.tell()
            } catch {
                self.log.debug("presence could not be told", ["error": .error(error)])
            }
        }
        _ = try await self.store.unregister(self.configuration.replica)
    }

    /// Until the next look: the interval with some jitter, or less when a peer's grace ends before.
    private func delay(_ freeSince: [ReplicaID: ContinuousClock.Instant]) -> Duration {
        let interval = self.configuration.limits.presenceInterval * Double.random(in: 0.8...1.2)
        let now = ContinuousClock.now
        let grace = freeSince.values.map { $0 + self.configuration.limits.presenceGrace - now }
            .filter { $0 > .zero }.min()
        return min(interval, grace ?? interval)
    }

    /// The lock first, then the record: a record without a lock is a dead replica.
    private func appear(until stop: StopSignal) async throws {
        let backoff = Backoff(first: .milliseconds(50), longest: .seconds(1))
        for attempt in 0... {
            while !self.leases.isTrusted {
                if await stop.wait(atMost: .milliseconds(20)) { return }
            }
            do {
                try await self.leases.takePresence(self.store.presenceKey(self.configuration.replica))
                try await self.beat()
                return
            } catch {
                self.log.warning("this replica cannot appear yet", ["error": .error(error)])
                if await stop.wait(atMost: backoff.delay(attempt: attempt)) { return }
            }
        }
    }

    private func beat() async throws {
        let isAskedToDrain = try await self.store.beat(
            self.configuration.replica,
            label: self.configuration.label,
            version: self.configuration.version,
            workers: self.workers(),
            draining: self.isDraining()
        )
        if isAskedToDrain { self.drain() }
        do {
            try await self.hostAccounts()
        } catch {
            // The next beat says it again.
            self.log.warning("this replica could not say which accounts it hosts", ["error": .error(error)])
        }
    }

    private func watch(
        _ freeSince: inout [ReplicaID: ContinuousClock.Instant],
        _ batch: inout SweepBatch
    ) async throws {
        guard self.leases.isTrusted else {
            freeSince = [:]
            return
        }
        let peers = try await self.store.peers(of: self.configuration.replica)
        let free = try await self.leases.findFree(peers.map(\.presence))
        let now = ContinuousClock.now
        if let restored = self.leases.lastRestored, now - restored < self.configuration.limits.presenceRestartGrace {
            freeSince = [:]
            return
        }
        for (peer, isFree) in zip(peers, free) {
            guard isFree else {
                freeSince[peer.replica] = nil
                continue
            }
            let since = freeSince[peer.replica, default: now]
            freeSince[peer.replica] = since
            if now - since >= self.configuration.limits.presenceGrace, !PlantedBug.nobodyTakesOver.isPlanted {
                do {
                    try await self.takeOver(from: peer.replica, behind: peer.presence, &batch)
                } catch {
                    self.log.warning(
                        "a dead replica could not be taken over",
                        ["peer": .text(peer.replica.text), "error": .error(error)]
                    )
                }
            }
        }
        freeSince = freeSince.filter { entry in peers.contains { $0.replica == entry.key } }
    }

    private func takeOver(
        from peer: ReplicaID,
        behind presence: LockKey,
        _ batch: inout SweepBatch
    ) async throws {
        try await self.leases.holding(presence) { isHeld in
            var isMore = true
            while isMore, isHeld() {
                let limit = batch.limit
                let taken = try await batch.run { try await self.store.takeOver(from: peer, limit: $0) }
                self.sweeper.announce(taken.turns)
                self.wakeDispatcher.signal()
                isMore = max(taken.turns.count, taken.freed) == limit
            }
            if isHeld(), try await self.store.forget(peer) {
                self.log.warning("a dead replica was cleared", ["peer": .text(peer.text)])
            }
        }
        self.wakeDispatcher.signal()
    }
}
