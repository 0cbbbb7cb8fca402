import Domain
import Runtime
import Store

/// Wakes the readers of conversations' logs, wherever the log is written.
///
/// A reader always reads the log itself, after its cursor, so what it sees has no gap whatever this feed misses: a
/// wake only says "look now". Conversations owned here wake their readers directly. For the others this replica tells
/// the owner that it is interested, gets one coalesced hint per batch of events, and polls behind the hints. The poll
/// also looks at the tokens of those who read: one that is over ends its streams, silent ones too.
final class EventFeed: Service {
    let name = "event feed"

    /// So often a reader with nothing to read is asked whether it wants to go on.
    private static let tick: Duration = .seconds(1)
    /// What a reader is handed at once, as far as events are smaller.
    private static let batchBytes = 256 << 10

    private struct Topic {
        var waiters: [Int: OneShot<Void>] = [:]
        var readers = 0
        /// Counts changes, so that one between reading and waiting is not missed.
        var version = 0
        var lastEvent: Int64 = 0
    }

    private struct State {
        var topics: [ConversationNumber: Topic] = [:]
        /// What the sessions here have written lately.
        var recent: [ConversationNumber: RecentEvents] = [:]
        /// Replicas that have readers for conversations owned here, and until when they said so.
        var interest: [ConversationNumber: [ReplicaID: ContinuousClock.Instant]] = [:]
        var nextWaiter = 0
        var nextPruning = ContinuousClock.now
        /// Counts the looks that found a token over, so that one between asking a reader and its waiting is not missed.
        var endings = 0
    }

    private let store: Store
    private let tokens: TokenDesk
    private let hints: HintSender
    private let replica: ReplicaID
    private let limits: Limits
    private let reactor: Reactor
    private let log: Logger
    private let state = Locked(State())
    private let pollSoon: WakeUp

    init(
        store: Store,
        tokens: TokenDesk,
        hints: HintSender,
        replica: ReplicaID,
        limits: Limits,
        reactor: Reactor,
        log: Logger
    ) {
        self.reactor = reactor
        self.pollSoon = WakeUp(reactor: reactor)
        self.store = store
        self.tokens = tokens
        self.hints = hints
        self.replica = replica
        self.limits = limits
        self.log = log
    }

    // MARK: - Changes

    /// A log was written here, or may have been anywhere: wakes its readers on this replica and, if others said that
    /// they have readers, hints them.
    ///
    /// `events` are what was written, if the writer knows it whole; readers of a remembered conversation then get them
    /// without a look at the database.
    func changed(_ number: ConversationNumber, by events: [EventRecord] = []) {
        let (waiters, interested) = self.state.withLock { state in
            if events.isEmpty {
                state.recent[number]?.clear()
            } else {
                state.recent[number]?.append(events)
            }
            if let last = state.recent[number]?.last { state.topics[number]?.lastEvent = last }
            let waiters = Self.bump(number, in: &state)
            let now = ContinuousClock.now
            let interested = state.interest[number]?.filter { $0.value > now }.map(\.key) ?? []
            if interested.isEmpty { state.interest[number] = nil }
            return (waiters, interested)
        }
        for waiter in waiters { waiter.resolve(()) }
        for replica in interested { self.hints.send(.events(number), to: replica) }
    }

    /// Another replica hinted that a log was written.
    func hinted(_ number: ConversationNumber) {
        let waiters = self.state.withLock { state in
            state.recent[number]?.clear()
            return Self.bump(number, in: &state)
        }
        for waiter in waiters { waiter.resolve(()) }
    }

    /// A session here begins to write the conversation's log.
    func remember(_ number: ConversationNumber) {
        self.state.withLock { $0.recent[number] = RecentEvents() }
    }

    /// The session is over: who knows why looks again.
    func forget(_ number: ConversationNumber) {
        let waiters = self.state.withLock { state in
            state.recent[number] = nil
            return Self.bump(number, in: &state)
        }
        for waiter in waiters { waiter.resolve(()) }
    }

    /// Another replica has readers for a conversation owned here. The first time it is told to look once more: what was
    /// written after it looked and before it was known here has been hinted to nobody.
    func interested(_ replica: ReplicaID, in number: ConversationNumber) {
        let now = ContinuousClock.now
        let earlier = self.state.withLock { state in
            state.interest[number, default: [:]].updateValue(now + .seconds(30), forKey: replica)
        }
        if earlier.map({ $0 <= now }) ?? true { self.hints.send(.events(number), to: replica) }
    }

    /// Conversations move on, and nothing else would ever touch what was noted for one that is served elsewhere now.
    private static func forgetOldInterest(in state: inout State) {
        let now = ContinuousClock.now
        guard !state.interest.isEmpty, now >= state.nextPruning else { return }
        state.nextPruning = now + .seconds(30)
        state.interest = state.interest.compactMapValues { replicas in
            let current = replicas.filter { $0.value > now }
            return current.isEmpty ? nil : current
        }
    }

    private static func bump(_ number: ConversationNumber, in state: inout State) -> [OneShot<Void>] {
        guard var topic = state.topics[number] else { return [] }
        let waiters = Array(topic.waiters.values)
        topic.version += 1
        topic.waiters = [:]
        state.topics[number] = topic
        return waiters
    }

    // MARK: - Readers

    /// Reads until `read` gives a value: once now, and again whenever the log may have changed. Nil when `patience`
    /// passed first; then what was read last does not count.
    func awaiting<Value>(
        _ number: ConversationNumber,
        atMost patience: Duration,
        _ read: () async throws -> Value?
    ) async throws -> Value? {
        self.enter(number)
        defer { self.leave(number) }
        let deadline = ContinuousClock.now + patience
        while !Task.isCancelled {
            let version = self.version(number)
            if let value = try await read() { return value }
            let rest = deadline - ContinuousClock.now
            guard rest > .zero else { return nil }
            _ = await self.wait(number, since: version, nil, atMost: rest)
        }
        return nil
    }

    /// See `Tenant.follow`.
    func follow(
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        tenant: TenantStore,
        keepalive: Duration,
        _ body: (consuming [EventRecord]) async throws -> Bool
    ) async throws {
        self.enter(number)
        defer { self.leave(number) }
        var cursor = after
        var endings = self.endings
        func ask(_ batch: consuming [EventRecord]) async throws -> Bool {
            endings = self.endings
            return try await body(batch)
        }
        while !Task.isCancelled {
            let (version, coverage) = self.look(number, after: cursor)
            switch coverage {
            case .events(let batch):
                let wanted = turn.map { turn in batch.filter { $0.turn == turn } } ?? batch
                if !wanted.isEmpty, try await !ask(wanted) { return }
                cursor = batch.last?.seq ?? cursor
                continue
            case .upToDate:
                break
            case .unknown:
                let limit = 500
                let batch = try await reaching {
                    try await tenant.events(number, after: cursor, turn: turn, limit: limit, bytes: Self.batchBytes)
                }
                if let last = batch.last?.seq {
                    let hasMore =
                        batch.count == limit || batch.reduce(0) { $0 + $1.data.utf8.count } >= Self.batchBytes
                    guard try await ask(consume batch) else { return }
                    cursor = last
                    if hasMore { continue }
                } else if try await reaching({ try await tenant.isDeleted(number) }) {
                    if let turn, let end = try await self.lastWord(of: turn, after: cursor, tenant) {
                        _ = try await ask([end])
                    }
                    return
                }
            }
            // The log is looked at again after each `keepalive`. Whether its reader may still read is asked every second,
            // and at once when a token is found over.
            var patience = keepalive
            while patience > .zero, await !self.wait(number, since: version, endings, atMost: min(patience, Self.tick))
            {
                guard try await ask([]) else { return }
                patience -= Self.tick
            }
        }
    }

    /// How a turn ended whose events were deleted with its conversation: whoever follows it still learns of its outcome.
    private func lastWord(of turn: TurnID, after cursor: Int64, _ tenant: TenantStore) async throws -> EventRecord? {
        guard let record = try await reaching({ try await tenant.turn(turn) }), record.state == .cancelled,
            let at = record.endedAt
        else { return nil }
        let type = TurnEvent.ended(.cancelled(partial: "")).type
        return EventRecord(seq: cursor + 1, turn: turn, type: type, data: #"{"partial":""}"#, at: at)
    }

    private func enter(_ number: ConversationNumber) {
        let mustAnnounce = self.state.withLock { state in
            let recent = state.recent[number]
            state.topics[number, default: Topic(lastEvent: recent?.last ?? 0)].readers += 1
            return recent == nil && state.topics[number]?.readers == 1
        }
        if mustAnnounce { self.pollSoon.signal() }
    }

    private func leave(_ number: ConversationNumber) {
        self.state.withLock { state in
            state.topics[number]?.readers -= 1
            if state.topics[number]?.readers == 0 { state.topics[number] = nil }
        }
    }

    private func version(_ number: ConversationNumber) -> Int {
        self.state.withLock { $0.topics[number]?.version ?? 0 }
    }

    private var endings: Int {
        self.state.withLock { $0.endings }
    }

    /// What is known of the log after `cursor`, and the version to wait from.
    private func look(_ number: ConversationNumber, after cursor: Int64) -> (Int, RecentEvents.Coverage) {
        self.state.withLock { state in
            (state.topics[number]?.version ?? 0, state.recent[number]?.coverage(after: cursor) ?? .unknown)
        }
    }

    /// Waits for a change after `version`; false when `patience` passed first, or a token was found over after `endings`.
    private func wait(
        _ number: ConversationNumber,
        since version: Int,
        _ endings: Int?,
        atMost patience: Duration
    ) async -> Bool {
        let shot = OneShot<Void>()
        let id = self.state.withLock { state -> Int? in
            guard state.topics[number]?.version == version else { return nil }
            if let endings, endings != state.endings { shot.resolve(()) }
            state.nextWaiter += 1
            state.topics[number]?.waiters[state.nextWaiter] = shot
            return state.nextWaiter
        }
        guard let id else { return true }
        let timer = self.reactor.after(patience) { shot.resolve(()) }
        await withTaskCancellationHandler {
            await shot.value()
        } onCancel: {
            shot.resolve(())
        }
        timer.cancel()
        return self.state.withLock { state in
            state.topics[number]?.waiters.removeValue(forKey: id) == nil
        }
    }

    // MARK: - The poll behind the hints

    func run(until stop: StopSignal) async throws {
        var announced = Announcements()
        while !stop.isRaised {
            let followed = self.state.withLock { state in
                Self.forgetOldInterest(in: &state)
                return Array(state.topics.keys)
            }
            if !followed.isEmpty {
                do {
                    try await self.poll(followed, announced: &announced)
                } catch {
                    self.log.debug("the event feed could not poll", ["error": .error(error)])
                }
            }
            announced.keep(only: Set(followed))
            // Without readers nothing is asked, but the next one's token is looked after from its first moment on.
            await self.pollSoon.wait(atMost: self.limits.feedPoll, or: stop)
        }
    }

    private func poll(
        _ followed: [ConversationNumber],
        announced: inout Announcements
    ) async throws {
        let now = ContinuousClock.now
        let hashes = self.tokens.streamed
        let (logs, grants) = try await self.store.look(at: followed, hashes: hashes)
        if self.tokens.take(grants, of: hashes, readAt: now) { self.askReaders() }
        for (number, lastEvent, owner) in logs {
            let waiters = self.state.withLock { state -> [OneShot<Void>] in
                guard let known = state.topics[number]?.lastEvent, known < lastEvent else { return [] }
                state.topics[number]?.lastEvent = lastEvent
                state.recent[number]?.clear()
                return Self.bump(number, in: &state)
            }
            for waiter in waiters { waiter.resolve(()) }
            if let owner, owner != self.replica, announced.isDue(of: number, to: owner, at: now) {
                self.hints.send(.follow(number, self.replica), to: owner)
            }
        }
    }

    /// Wakes all readers without a change: each asks whether it may go on, which costs no look at the database.
    private func askReaders() {
        let waiters = self.state.withLock { state in
            state.endings += 1
            return state.topics.values.flatMap(\.waiters.values)
        }
        for waiter in waiters { waiter.resolve(()) }
    }
}
