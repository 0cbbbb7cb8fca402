package import Domain
import Runtime

// Spare workers: started before anybody asks, so that a new conversation need not wait for its agent to start.

extension WorkerPool {
    /// What became of the spare that came with a place.
    enum SpareUse: ~Copyable, Sendable {
        case bound(Worker)
        /// None came, or it could not be used: start another worker, in this place.
        case refused(SpawnPermit, WorkerPlace)
    }

    /// Calls `body` whenever a spare was taken or has gone, so that another may be started.
    package func whenSpareIsMissing(_ body: @escaping @Sendable () -> Void) {
        self.spareIsMissing.withLock { $0 = body }
    }

    /// How many spares of this version of an agent there are, those that are starting included.
    package func spareCount(org: OrganizationID, agent: AgentID, version: Int64) -> Int {
        let key = AgentKey(org: org, agent: agent)
        return self.state.withLock { state in state.spares.count { $0.key == key && $0.version == version } }
    }

    /// Starts a spare, if there is a free place for it, and returns whether it waits for a conversation now.
    package func startSpare(_ order: SpareOrder) async -> Bool {
        let key = AgentKey(org: order.org, agent: order.agent)
        let (total, maximum) = (self.limits.workersPerReplica, order.configuration.limits.maxWorkers)
        guard self.state.withLock({ $0.takeFree(for: key, maximum: maximum, of: total) }) else { return false }
        let place = WorkerPlace { [weak self] in self?.state.withLock { $0.release(key) } }
        let worker = Worker(spare: order, place: place, tools: self.tools)
        let spare = Spare(key: key, version: order.version, workspace: order.workspace, worker: worker, place: place)
        let isWanted = self.state.withLock { state in
            if !state.isClosed { state.spares.append(spare) }
            return !state.isClosed
        }
        var failure: WorkerError?
        if isWanted {
            await self.gate.enter()
            failure = await self.open(worker, nil)
        }
        let isStillThere = self.state.withLock { state in
            guard let index = state.spares.firstIndex(where: { $0.worker === worker }) else { return false }
            if failure == nil { state.spares[index].isReady = true } else { state.spares.remove(at: index) }
            return true
        }
        guard failure != nil || !isStillThere else {
            self.noteStart(of: worker)
            worker.whenExited { [weak self] _ in self?.forget(worker) }
            return true
        }
        worker.kill()
        await worker.stop()
        // Without a failure, or off the list, it was ended to make room.
        guard let failure, isStillThere else { return false }
        self.noteFailure(key, failure.message)
        self.tools.log.warning(
            "spare worker did not start",
            ["org": .text(order.org.text), "agent": .text(order.agent.text), "error": .text(failure.message)]
        )
        return false
    }

    /// Ends every spare that `isWanted` does not want.
    package func endSpares(unless isWanted: (OrganizationID?, AgentID, Int64) -> Bool) async {
        let unwanted = self.state.withLock { state in
            let unwanted = state.spares.filter { !isWanted($0.key.org, $0.key.agent, $0.version) }
            state.spares.removeAll { spare in unwanted.contains { $0.worker === spare.worker } }
            return unwanted
        }
        await withTaskGroup(of: Void.self) { group in
            for spare in unwanted { group.addTask { await spare.worker.stop() } }
        }
    }

    /// Puts a spare back that was not used after all.
    func putBack(_ spare: Spare) {
        self.returnPlace(to: spare)
        let isKept = self.state.withLock { state in
            guard !state.isClosed, spare.worker.lifecycleState == .spare else { return false }
            state.spares.append(spare)
            return true
        }
        if !isKept { spare.worker.kill() }
    }

    /// Makes the place the worker's own again, which may be gone by now.
    private func returnPlace(to spare: Spare) {
        spare.place.regain { [weak self] in self?.state.withLock { $0.release(spare.key) } }
        spare.worker.whenExited { _ in spare.place.release() }
    }

    private func forget(_ worker: Worker) {
        let wasThere = self.state.withLock { state in
            let before = state.spares.count
            state.spares.removeAll { $0.worker === worker }
            return state.spares.count < before
        }
        if wasThere { self.tellSpareIsMissing() }
    }

    private func tellSpareIsMissing() {
        self.spareIsMissing.withLock { $0 }?()
    }

    /// Gives the spare that came with `place` to the conversation of `order`.
    func useSpare(of place: WorkerPlace, _ permit: consuming SpawnPermit, _ order: WorkerOrder) async -> SpareUse {
        // The place may have been somebody's until now.
        await place.previous?.gone.value()
        guard let spare = place.spare, place.forfeit() != nil else { return .refused(permit, place) }
        self.tellSpareIsMissing()
        // A workspace is the conversation's for good, so a conversation that has another one cannot use this worker.
        let fits = order.chain.links.isEmpty && (order.conversation == nil || order.workspace == spare.workspace)
        let failure: WorkerError?
        if fits {
            switch await spare.worker.bind(permit, to: order) {
            case .bound:
                self.returnPlace(to: spare)
                self.countSpare("bound")
                self.tools.log.debug(
                    "spare worker taken",
                    ["deployment": .text(order.deployment.text), "workspace": .text(spare.workspace.text)]
                )
                return .bound(spare.worker)
            case .refused(let error, let back):
                failure = error
                permit = back
            }
        } else {
            failure = nil
        }
        self.countSpare("refused")
        self.tools.log.warning("spare worker could not be used", ["reason": .text(failure?.message ?? "unfit")])
        // Its place goes to the one that is started instead, once it is gone.
        spare.worker.kill()
        await spare.worker.stop()
        return .refused(permit, WorkerPlace { [weak self] in self?.state.withLock { $0.release(spare.key) } })
    }

    private func countSpare(_ result: String) {
        self.metrics.count("turnpike_spares_total", "Spare workers that were taken.", labels: ["result": result])
    }
}
