import Domain
import Runtime

// What a worker knows of its conversation when it starts, and what a later one will know of it.

extension Worker {
    /// What the driver is to know of the conversation. A session of this term or a later one is of another database.
    func assignment(_ order: WorkerOrder, recalled: AgentSession?) -> DriverAssignment {
        DriverAssignment(
            directory: self.workspace.work,
            chain: order.configuration.snapshots.kind == .blob ? order.chain : .empty,
            recalled: recalled.flatMap { $0.epoch < order.epoch ? $0 : nil },
            transcript: order.transcript,
            servers: order.configuration.mcpServers
        )
    }

    /// Says how the worker came by what was said before, for the operator; the log of the conversation says it, too.
    func reportContext() {
        let context = self.state.withLock { $0.driver.context }
        self.tools.metrics.count(
            "turnpike_worker_contexts_total",
            "Workers that got ready, by how they came by what their conversation had said.",
            labels: ["context": context.rawValue]
        )
        self.tools.log.info("worker ready", ["context": .text(context.rawValue)])
    }

    /// Keeps the agent's session for a later worker, once: as soon as it knows all that it has to.
    func keepSession() async {
        let session = self.state.withLock { state -> AgentSession? in
            guard !state.hasKeptSession, let id = state.driver.session, let epoch = state.binding?.epoch else {
                return nil
            }
            state.hasKeptSession = true
            return AgentSession(id: id, epoch: epoch)
        }
        if let session { await self.keep(session) }
    }

    /// Forgets the agent's session if the worker ended over opening it, or no later worker would get past it.
    func forgetSession() async {
        if self.state.withLock({ $0.driver.isRecalling }) { await self.keep(nil) }
    }

    /// A failure costs a later worker its session, not its context: it is told the transcript then.
    private func keep(_ session: AgentSession?) async {
        guard self.state.withLock({ $0.binding?.keepsWorkspace == true }) else { return }
        do {
            try await self.tools.blocking.run { [workspace, root = self.tools.root] in
                try workspace.keep(session, below: root)
            }
        } catch {
            self.tools.log.warning("the agent's session was not kept", ["error": .error(error)])
        }
    }
}
