import Domain
import Faults
import Postgres
import Runtime
import Store

/// Takes leases and lets them go: the lock first, then the fence.
///
/// All locks of the replica live on one lock session. The lock says who should try; the fence says whose writes count.
/// When the session is lost, every lock is gone at once and nobody was told: this replica stops committing, reconnects,
/// takes the locks again and looks whether its fences are still the conversations'. Workers that are not re-attached are
/// frozen at the end of `Limits.lockTrust` and killed at `Limits.lockLossKill`, both counted from the start of the last
/// heartbeat that was answered.
final class LeaseKeeper: Service {
    let name = "leases"

    private struct State {
        var held: [LockKey: Fence] = [:]
        var loss = LockLoss()
        /// See `LockLoss`.
        var regained: StopSignal? { self.loss.regained }

        /// The fences that are known: a lock that is being taken has none yet, and nothing can be said of it.
        var fences: [Fence] {
            self.held.values.filter { $0.nonce != LeaseKeeper.noNonce }
        }
    }

    private let session: DirectSession
    private let store: Store
    private let registry: ConversationRegistry
    private let replica: ReplicaID
    private let limits: Limits
    private let capacity: Int
    private let reactor: Reactor
    private let log: Logger
    private let metrics: Metrics
    private let state = Locked(State())
    private let presence = Locked<LockKey?>(nil)
    private let restored = Locked<ContinuousClock.Instant?>(nil)
    private let whoLooks = Locked<[@Sendable () -> Void]>([])

    /// `capacity` is this replica's share of the cluster's lock table: when that is full, nobody can even connect.
    init(
        session: DirectSession,
        store: Store,
        registry: ConversationRegistry,
        replica: ReplicaID,
        limits: Limits,
        capacity: Int,
        reactor: Reactor,
        log: Logger,
        metrics: Metrics
    ) {
        self.session = session
        self.store = store
        self.registry = registry
        self.replica = replica
        self.limits = limits
        self.capacity = capacity
        self.reactor = reactor
        self.log = log
        self.metrics = metrics
    }

    /// Whether locks can be relied on right now.
    var isTrusted: Bool {
        self.session.isTrusted && self.state.withLock { $0.regained == nil }
    }

    /// Returns once locks can be relied on, or `isOver` is raised. A holder asks before it settles a turn or takes the next
    /// one; it is a courtesy to the next holder, the fence is what keeps a commit safe.
    func waitUntilTrusted(or isOver: StopSignal) async {
        while !self.isTrusted, !isOver.isRaised {
            if let regained = self.state.withLock({ $0.regained }) {
                await regained.wait(or: isOver)
            } else if self.session.sessionNumber == nil {
                // Stopped in order, or lost this very moment.
                return
            } else {
                // This process stood still: soon the session has beaten, or is known to be lost.
                let over = OneShot<Void>()
                self.reactor.after(.milliseconds(20)) { over.resolve(()) }
                await over.value()
            }
        }
    }

    // MARK: - Taking and letting go

    /// Lock, then fence. The caller has entered the conversation in the registry.
    func acquire(
        _ demand: consuming LeaseDemand,
        of claim: Claim,
        deployment: DeploymentID,
        workspace: WorkspaceID? = nil,
        account: AccountID? = nil,
        limits: AgentLimits
    ) async -> LeaseAcquisition {
        guard let lock = claim.lock else { return .unavailable("the claim names no lock") }
        guard self.isTrusted, let session = self.session.sessionNumber else {
            return .unavailable("the lock session is away")
        }
        // Counted before it is asked for, so that a burst cannot pass the cap.
        let hasRoom = self.state.withLock { state in
            guard state.held.count < self.capacity, state.held[lock] == nil else { return false }
            state.held[lock] = Fence(conversation: claim.number, epoch: 0, nonce: Self.noNonce)
            return true
        }
        guard hasRoom else { return .atCapacity }
        do {
            try await Faults.reach(.acquireEntered)
            let answer = try await self.session.tryLockInSession([lock.value])
            guard answer.session == session else {
                // Granted in a later session, where the re-attachment may have taken it too; all of it is let go.
                await self.unlock(lock, times: 2)
                return .unavailable("the lock session was lost")
            }
            guard answer.granted == [true] else {
                self.forget(lock)
                return .busy(owner: nil)
            }
            try await Faults.reach(.acquireLocked)
            let term = try await self.store.term(
                of: claim,
                replica: self.replica,
                deployment: deployment,
                workspace: workspace,
                account: account,
                limits
            )
            guard let term else {
                await self.unlock(lock)
                return .busy(owner: nil)
            }
            self.state.withLock { $0.held[lock] = term.fence }
            return .granted(
                Lease(demand, lock: lock, fence: term.fence),
                head: term.head,
                workspace: term.workspace,
                armed: term.armed
            )
        } catch {
            await self.unlock(lock)
            return .unavailable(String(describing: error))
        }
    }

    /// Lets a lock go. Called after the holder's markers are settled and its registry entry is gone.
    func release(_ lease: consuming Lease) async {
        await self.unlock(lease.lock)
    }

    private func unlock(_ lock: LockKey, times: Int = 1) async {
        self.forget(lock)
        if PlantedBug.lockKept.isPlanted { return }
        do {
            try await self.session.unlock([Int64](repeating: lock.value, count: times))
        } catch {
            // The session drops a connection that could not unlock; with it every lock is let go and taken again. That
            // it is gone has been told once; a line for each of a thousand holders would say nothing more.
            guard (error as? PostgresError)?.code != .connectionLost else { return }
            self.log.warning("a lock could not be let go", ["error": .error(error)])
        }
    }

    private func forget(_ lock: LockKey) {
        self.state.withLock { state in _ = state.held.removeValue(forKey: lock) }
    }

    /// Stands for a fence that is not known yet; equal to none that was ever given out.
    private static let noNonce = Nonce("00000000-0000-0000-0000-000000000000") ?? unreachableNonce()

    private static func unreachableNonce() -> Nonce {
        preconditionFailure("the zero UUID has the form of a UUID")
    }

    // MARK: - Presence

    /// Takes the lock by which peers see that this replica lives. Kept through every reconnect.
    func takePresence(_ key: LockKey) async throws {
        self.presence.withLock { $0 = key }
        guard try await self.session.tryLock([key.value]) == [true] else {
            throw GatewayError.unavailable("another session holds this replica's presence lock")
        }
    }

    /// When the locks were last taken again after a loss; nil before the first.
    var lastRestored: ContinuousClock.Instant? { self.restored.withLock { $0 } }

    /// Which of these presence locks nobody holds. Asks by taking, so it gives back what it got.
    func findFree(_ keys: [LockKey]) async throws -> [Bool] {
        guard !keys.isEmpty else { return [] }
        let got = try await self.session.tryLock(keys.map(\.value))
        let taken = zip(keys, got).compactMap { key, isFree in isFree ? key.value : nil }
        if !taken.isEmpty { try await self.session.unlock(taken) }
        return got
    }

    /// Runs `body` while this replica holds a dead peer's presence lock, so that the peer does not come back in the middle
    /// of it. `isHeld` says whether it still does. Somebody who has the lock is not dead: then nothing is run.
    func holding(_ presence: LockKey, _ body: (_ isHeld: () -> Bool) async throws -> Void) async throws {
        let answer = try await self.session.tryLockInSession([presence.value])
        guard answer.granted == [true] else { return }
        let isHeld = { self.session.sessionNumber == answer.session }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(isHeld))
        } catch {
            result = .failure(error)
        }
        if isHeld() { await self.unlock(presence) }
        try result.get()
    }

    // MARK: - Losing the session

    func run(until stop: StopSignal) async throws {
        self.session.onLost { [weak self] in self?.lost() }
        self.session.onConnected { [weak self] number in self?.reconnected(in: number) }
        self.metrics.collect { [weak self] metrics in
            guard let self else { return }
            let held = self.state.withLock { $0.held.count }
            metrics.set("turnpike_locks_held", "Advisory locks held for conversations.", to: Double(held))
        }
        try await self.session.run(until: stop)
    }

    private func lost() {
        guard let loss = self.state.withLock({ $0.loss.begin() }) else { return }
        self.log.warning("the lock session is lost")
        self.metrics.count("turnpike_lock_session_losses_total", "Times the lock session was lost.")
        let age = ContinuousClock.now - (self.session.lastGoodHeartbeat ?? .now)
        self.reactor.after(self.limits.lockTrust - age) { [weak self] in
            guard let orphans = self?.orphans(of: loss), !orphans.isEmpty else { return }
            self?.log.warning("workers are frozen", ["conversations": .count(orphans.count)])
            // Awaited by nobody: it ends by itself. Not here, where reading /proc would hold up the reconnect.
            Task {
                for session in orphans {
                    session.freeze()
                    if self?.state.withLock({ $0.regained === loss }) != true { session.thaw() }
                }
            }
        }
        self.reactor.after(self.limits.lockLossKill - age) { [weak self] in
            guard let orphans = self?.orphans(of: loss), !orphans.isEmpty else { return }
            self?.log.error("locks were not regained in time", ["conversations": .count(orphans.count)])
            for session in orphans { session.abort(.lockLost) }
        }
    }

    /// The sessions that are still without their locks. `loss` tells this loss from a later one, which has times of its
    /// own.
    private func orphans(of loss: StopSignal) -> [ConversationSession] {
        let fences = self.state.withLock { state in state.regained === loss ? state.fences : [] }
        return fences.compactMap { self.registry.session(holding: $0) }
    }

    private func reconnected(in session: Int) {
        let isWaiting = self.state.withLock { $0.regained != nil }
        guard isWaiting else { return }
        // Awaited by whoever waits for `regained`; tries until it is done or the session is lost again.
        Task { await self.reattach(in: session) }
    }

    /// Takes all locks again and looks at all fences. A conversation goes on only with both.
    ///
    /// Each step is repeated by itself, and only within its session: PostgreSQL would grant a lock of ours a second
    /// time, and letting it go once would then leave it held for good.
    private func reattach(in session: Int) async {
        if let presence = self.presence.withLock({ $0 }) {
            // A peer may be looking at it this very moment; without it this replica would soon be given up.
            guard
                await self.repeating(
                    "presence",
                    in: session,
                    { try await self.take([presence], in: session) == [true] }
                )
            else { return }
        }
        let held = self.state.withLock { $0.held }
        var missing = Array(held.keys)
        let patience = ContinuousClock.now + self.limits.lockLinger
        let triedAll = await self.repeating("locks", in: session) {
            let got = missing.isEmpty ? [] : try await self.take(missing, in: session)
            missing = zip(missing, got).filter { !$0.1 }.map(\.0)
            return missing.isEmpty || ContinuousClock.now >= patience
        }
        guard triedAll else { return }
        let gone = Set(missing)
        let inspected = await self.repeating("fences", in: session) {
            let fences = self.state.withLock { $0.fences }
            for state in try await self.store.inspect(fences) where !state.isHeld {
                guard let fence = fences.first(where: { $0.conversation == state.number }) else { continue }
                self.registry.session(holding: fence)?.fenceOff()
            }
            // Another server may know less than the worker does: then nothing that it says now may be written.
            let settled = fences.compactMap { fence in
                self.registry.session(holding: fence)?.lastSettled.map { (turn: $0, fence: fence) }
            }
            for fence in try await self.store.forgotten(settled) {
                self.registry.session(holding: fence)?.fenceOff()
            }
            return true
        }
        guard inspected else { return }
        let locks = held.map { (lock: $0.key, isOurs: !gone.contains($0.key), fence: Optional($0.value)) }
        await self.settle(locks, in: session)
    }

    /// The end of a re-attachment: holders without their lock come down, locks without a holder are let go.
    private func settle(_ locks: [(lock: LockKey, isOurs: Bool, fence: Fence?)], in session: Int) async {
        let lost = locks.filter { !$0.isOurs }
        for one in lost {
            if let fence = one.fence { self.registry.session(holding: fence)?.abort(.lockLost) }
        }
        // Let go by its holder while it was being taken again.
        let ownerless = self.state.withLock { state in
            locks.filter { $0.isOurs && state.held[$0.lock] == nil }.map(\.lock.value)
        }
        if !ownerless.isEmpty {
            do {
                try await self.session.unlock(ownerless)
            } catch {
                self.log.warning("a lock could not be let go", ["error": .error(error)])
            }
        }
        let (regained, fences) = self.state.withLock { state in
            // The session forgets its connection before it tells of the loss, so a loss after this look begins another one.
            (state.loss.end(in: session, current: self.session.sessionNumber), state.fences)
        }
        guard let regained else { return }
        self.log.info("locks regained", ["locks": .count(locks.count - lost.count), "lost": .count(lost.count)])
        for fence in fences { self.registry.session(holding: fence)?.thaw() }
        self.restored.withLock { $0 = .now }
        regained.raise()
        for look in self.whoLooks.withLock({ $0 }) { look() }
    }

    /// Has `look` called whenever the locks were taken again: hints sent in the meantime reached nobody.
    func whenRestored(_ look: @escaping @Sendable () -> Void) {
        self.whoLooks.withLock { $0.append(look) }
    }

    /// Takes locks in one particular session; gives them back when it was another one's by then, which takes its own.
    private func take(_ locks: [LockKey], in session: Int) async throws -> [Bool] {
        let answer = try await self.session.tryLockInSession(locks.map(\.value))
        guard answer.session == session else {
            try await self.session.unlock(zip(locks, answer.granted).filter(\.1).map(\.0.value))
            return [Bool](repeating: false, count: locks.count)
        }
        return answer.granted
    }

    /// Repeats `step` until it is true; false once the session is another or none: then the next one starts anew.
    private func repeating(_ what: String, in session: Int, _ step: () async throws -> Bool) async -> Bool {
        while self.session.sessionNumber == session {
            do {
                // Looked at again afterwards: what was done in a session counts only if it is still the same.
                if try await step() { return self.session.sessionNumber == session }
            } catch {
                self.log.warning("locks could not be regained yet", ["step": .text(what), "error": .error(error)])
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
        return false
    }
}
