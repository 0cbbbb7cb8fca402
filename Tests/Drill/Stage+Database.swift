import Runtime
import TestKit

// What befalls PostgreSQL, and the ways to it.

extension Stage {
    mutating func cutLockSession(_ slot: Slot, _ replica: Replica) async throws {
        let old = try await self.cluster.lockSession(of: replica.id)
        let start = ContinuousClock.now
        guard old != 0, try await self.cluster.terminate(slot.session("lock")) > 0 else { return }
        self.recorder.fired(.cutLockSession)
        try await self.awaitRecovery("lock session ended: re-attached", since: start) {
            try await self.cluster.isReattached(replica.id, after: old)
        }
    }

    /// Waits for a session that does something, ends it, and then the others.
    mutating func cutCommitSessions(_ slot: Slot) async throws {
        do {
            try await eventually("a session is in use", within: .seconds(3)) {
                try await self.cluster.terminate(slot.session("pool"), inUse: true) > 0
            }
        } catch is NotInTime {
            return
        }
        self.recorder.fired(.cutCommitSessions)
        _ = try await self.cluster.terminate(slot.session("pool"))
        try await self.awaitService(slot, "pooled sessions ended: ready", since: .now)
    }

    /// A restart, or a failover.
    mutating func replacePostgres(_ kind: NemesisKind) async throws {
        let isMine = self.cluster.serverIsTaken.withLock { isTaken in
            defer { isTaken = true }
            return !isTaken
        }
        guard isMine else { return }
        defer { self.cluster.serverIsTaken.withLock { $0 = false } }
        let server = self.cluster.server
        let isFailover = kind == .failOverPostgres
        let pause = Duration.milliseconds(Int.random(in: 0...2_000, using: &self.random))
        let away = try await isFailover ? server.failOver(after: pause) : server.restart(after: pause)
        self.recorder.fired(kind)
        self.recorder.recovered(isFailover ? "PostgreSQL failed over: away" : "PostgreSQL restarted: away", after: away)
        let name = self.cluster.places.randomElement(using: &self.random)?.name
        try await self.probe(name, "PostgreSQL back: a turn served", since: .now)
    }

    mutating func partition(
        _ slot: Slot,
        _ directions: Set<Weather.Direction>,
        _ kind: NemesisKind
    ) async throws {
        let before = await slot.counts()
        var weather = Weather.fair
        weather.blocked = directions
        await slot.change(weather)
        let isLong = Int.random(in: 0..<3, using: &self.random) == 0
        try await self.pause(isLong ? 6_000...9_000 : 300...4_000)
        await slot.change(.fair)
        let after = await slot.counts()
        if zip(before, after).contains(where: { $0.held < $1.held }) {
            self.recorder.fired(kind)
        }
        try await self.awaitService(slot, "\(kind.rawValue) healed: ready", since: .now)
    }

    mutating func resetConnections(_ slot: Slot) async throws {
        let before = await slot.counts()
        var weather = Weather.fair
        weather.isCut = true
        await slot.change(weather)
        try await self.pause(0...1_500)
        await slot.change(.fair)
        let after = await slot.counts()
        if zip(before, after).contains(where: { $0.resets < $1.resets }) { self.recorder.fired(.resetConnections) }
        try await self.awaitService(slot, "connections reset: ready", since: .now)
    }

    mutating func loseAnswers() async throws {
        var weather = Weather.fair
        weather.losesAnswer = Int.random(in: 3...15, using: &self.random)
        try await self.changeAll(weather, for: 500...2_500, counting: \.lostAnswers, as: .loseAnswers)
    }

    mutating func slowPostgres() async throws {
        var weather = Weather.fair
        weather.delay = .milliseconds(200)
        try await self.changeAll(weather, for: 1_000...4_000, counting: \.delayed, as: .slowPostgres)
    }

    /// Changes the weather of all replicas that no other fault has.
    private mutating func changeAll(
        _ weather: Weather,
        for milliseconds: ClosedRange<Int>,
        counting: KeyPath<ProxyCounts, Int>,
        as fault: NemesisKind
    ) async throws {
        let slots = self.cluster.slots.filter { $0.take() }
        var before = 0
        var after = 0
        for slot in slots {
            before += await slot.pool.done[keyPath: counting]
            // Only commits can be in doubt; a lock session that is lost is another fault.
            if weather.losesAnswer == nil { await slot.change(weather) } else { await slot.pool.change(weather) }
        }
        try await self.pause(milliseconds)
        for slot in slots {
            await slot.change(.fair)
            after += await slot.pool.done[keyPath: counting]
            slot.release()
        }
        if after > before { self.recorder.fired(fault) }
    }
}
