import Glibc
import Runtime
import TestKit

// What befalls replicas and workers.

extension Stage {
    mutating func killReplica(_ slot: Slot, _ replica: Replica) async throws {
        let owned = try await self.cluster.owned(by: replica.id).randomElement(using: &self.random)
        let debts = try await self.cluster.debts(of: replica.id)
        let start = ContinuousClock.now
        try await self.cluster.kill(slot)
        self.recorder.fired(.killReplica)
        let cluster = self.cluster
        let what = debts > 0 ? "replica killed: its turns settled" : "replica killed: nothing to settle"
        async let settled = self.awaitRecovery(what, since: start) {
            try await cluster.debts(of: replica.id) == 0
        }
        // Its peers need not have noticed: the probe waits behind what is queued, like any client.
        try await self.probe(owned, "replica killed: a new turn replied to", since: start)
        _ = try await settled
        try await self.cluster.boot(slot)
    }

    mutating func blip(_ slot: Slot, _ replica: Replica) async throws {
        replica.process.signal(SIGSTOP)
        try await self.awaitStop(replica.pid, .blipReplica)
        try await self.pause(100...1_500)
        replica.process.signal(SIGCONT)
        try await self.awaitService(slot, "moment over: ready", since: .now)
    }

    mutating func freeze(_ slot: Slot, _ replica: Replica) async throws {
        let start = ContinuousClock.now
        replica.process.signal(SIGSTOP)
        try await self.awaitStop(replica.pid, .freezeReplica)
        try await self.awaitRecovery("replica frozen: taken over", since: start) {
            try await self.cluster.isForgotten(replica.id)
        }
        try await self.pause(0...2_000)
        replica.process.signal(SIGCONT)
        try await self.awaitService(slot, "thawed: ready", since: .now)
    }

    mutating func restart(_ slot: Slot, _ replica: Replica) async throws {
        let tree = ProcessTable.descendants(of: replica.pid)
        let start = ContinuousClock.now
        slot.put(nil)
        let code = try await replica.leave(within: .seconds(25))
        self.cluster.balancer.remove(slot.number)
        if code == 0 { self.recorder.fired(.rollingRestart) }
        if code != 0 { self.recorder.violated("leaving", "a replica that was told to leave ended with \(code)") }
        self.recorder.recovered("told to leave: gone", after: ContinuousClock.now - start)
        await self.cluster.expectGone(tree, since: start)
        try await self.cluster.boot(slot)
    }

    mutating func offsetClock(_ slot: Slot) async throws {
        let offset = Bool.random(using: &self.random) ? 3_600 : -3_600
        try await self.cluster.kill(slot)
        let replica = try await self.cluster.boot(slot, environment: try FakeTime.environment(offset))
        let seen = try await FakeTime.offset(ofPort: replica.port)
        if abs(seen - offset) < 60 { self.recorder.fired(.offsetClock) }
        try await self.pause(2_000...4_000)
        try await self.cluster.kill(slot)
        try await self.cluster.boot(slot)
    }

    mutating func killWorker() async throws {
        guard let worker = try await self.findWorker() else { return }
        // The record names the launcher; its program is as likely to be hit.
        let tree = [worker.pid] + ProcessTable.descendants(of: worker.pid).sorted()
        guard let victim = tree.randomElement(using: &self.random) else { return }
        let start = ContinuousClock.now
        guard Glibc.kill(victim, SIGKILL) == 0 else { return }
        try await self.awaitEnd(of: worker, .killWorker, "worker killed: its run over", since: start)
    }

    mutating func freezeWorker() async throws {
        guard let worker = try await self.findWorker() else { return }
        let start = ContinuousClock.now
        let stopped = ProcessTable.descendants(of: worker.pid).filter { Glibc.kill($0, SIGSTOP) == 0 }
        guard !stopped.isEmpty else { return }
        try await self.awaitEnd(of: worker, .freezeWorker, "worker frozen: its run over", since: start)
    }

    /// Waits until the run is over. One that came to its own end all the same was hit too late: that is no fault.
    private func awaitEnd(
        of worker: Cluster.RunningWorker,
        _ fault: NemesisKind,
        _ what: String,
        since start: ContinuousClock.Instant
    ) async throws {
        do {
            try await eventually(what, within: self.recoveryLimit) { try await self.cluster.isOver(worker) }
        } catch is NotInTime {
            return self.recorder.violated("recovery", "\(what): not within \(self.recoveryLimit)")
        }
        let after = ContinuousClock.now - start
        guard try await self.cluster.wasLost(worker) else { return }
        self.recorder.fired(fault)
        self.recorder.recovered(what, after: after)
    }

    mutating func muteWorker() async throws {
        let place = self.cluster.places.filter { $0.agent == "list" }.randomElement(using: &self.random)
        let wish = TurnWish(milliseconds: 0, mutesWorker: true)
        let turn = try await self.probe(place?.name, "worker muted: its turn over", since: .now, wish: wish)
        if turn.seen.contains(where: { ["worker_exited", "worker_unresponsive"].contains($0.code) }) {
            self.recorder.fired(.muteWorker)
        }
    }

    /// A worker within a turn; nil when none is found for a while.
    private mutating func findWorker() async throws -> Cluster.RunningWorker? {
        for _ in 0..<40 {
            let workers = try await self.cluster.runningWorkers()
            if let worker = workers.randomElement(using: &self.random) { return worker }
            try await Task.sleep(for: .milliseconds(50))
        }
        return nil
    }

    private func awaitStop(_ pid: pid_t, _ fault: NemesisKind) async throws {
        try await eventually("process \(pid) is stopped", within: .seconds(2)) { ProcessTable.isStopped(pid) }
        self.recorder.fired(fault)
    }

    /// Waits until a replica says that it is ready.
    func awaitService(_ slot: Slot, _ what: String, since start: ContinuousClock.Instant) async throws {
        let (threads, balancer) = (self.threads, self.cluster.balancer)
        try await self.awaitRecovery(what, since: start) {
            guard let target = balancer.target(slot.number) else { return false }
            return try await threads.run { Caller(port: target.port, token: "", patience: 2).saysReady }
        }
    }
}
