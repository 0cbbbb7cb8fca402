package import Domain
import Runtime

// What is known of agents whose workers do not start. See `CircuitBreaker`.

extension WorkerPool {
    /// The circuit of one version of an agent: a changed configuration begins with a closed one.
    struct Circuit {
        let version: Int64
        var breaker: CircuitBreaker
    }

    /// Agents whose circuits are remembered at most; those that fail are few.
    private static let mostCircuits = 10_000

    /// Asks to start a worker of this version of an agent. Nil when it may go ahead; else what failed last.
    package func refusalToStart(org: OrganizationID?, agent: AgentID, version: Int64) -> String? {
        let key = AgentKey(org: org, agent: agent)
        return self.circuits.withLock { circuits in
            guard circuits[key]?.version == version else {
                if circuits.count >= Self.mostCircuits { circuits = [:] }
                circuits[key] = Circuit(version: version, breaker: CircuitBreaker(self.limits))
                return nil
            }
            guard circuits[key]?.breaker.mayStart(at: .now) == false else { return nil }
            return circuits[key]?.breaker.lastError ?? ""
        }
    }

    /// A turn has left its worker usable: the agent works.
    package func proved(org: OrganizationID?, agent: AgentID) {
        self.circuits.withLock { $0[AgentKey(org: org, agent: agent)]?.breaker.proved() }
    }

    /// The circuits that have seen failures, in no order.
    package var failingCircuits: [CircuitRecord] {
        self.circuits.withLock { circuits in
            circuits.compactMap { key, circuit in
                guard let error = circuit.breaker.lastError else { return nil }
                return CircuitRecord(
                    org: key.org,
                    agent: key.agent,
                    version: circuit.version,
                    openUntil: circuit.breaker.openUntil,
                    failures: circuit.breaker.failures,
                    lastError: error
                )
            }
        }
    }

    /// A worker came up; should it end by itself right away, that counts as a failure.
    func noteStart(of worker: Worker) {
        let key = AgentKey(org: worker.order.org, agent: worker.order.agent)
        self.circuits.withLock { $0[key]?.breaker.started() }
        worker.whenExited { [weak self] exit in
            guard let self, !exit.wasIntended, ContinuousClock.now - worker.born < self.limits.earlyExit else { return }
            let sentence = LastWords.join("the worker \(exit.status) right after its start", exit.lastWords)
            self.noteFailure(key, sentence)
        }
    }

    func noteFailure(_ key: AgentKey, _ reason: String) {
        let isOpen = self.circuits.withLock { circuits in
            circuits[key]?.breaker.failed(reason, at: .now, jitter: Double.random(in: 0.8...1.2))
            return circuits[key]?.breaker.openUntil != nil
        }
        guard isOpen else { return }
        self.metrics.count("turnpike_circuit_openings_total", "Times an agent's starts were held back.")
        self.tools.log.warning(
            "circuit open",
            ["org": .text(key.org?.text ?? "-"), "agent": .text(key.agent.text), "error": .text(reason)]
        )
    }
}
