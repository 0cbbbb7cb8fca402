import Domain
import Runtime
import Store
import Workers

/// Where replicas leave word of agents whose workers do not start, and where it is read for whoever asks about one: each
/// holds back starts by itself, and a client does not choose the replica that answers.
final class CircuitBoard: Sendable {
    private let store: Store
    private let replica: ReplicaID
    private let workers: WorkerPool
    private let told = Locked<Set<CircuitRecord>>([])

    init(store: Store, replica: ReplicaID, workers: WorkerPool) {
        self.store = store
        self.replica = replica
        self.workers = workers
    }

    /// Leaves word of this replica's circuits, if anything has changed since the last time. One caller at a time.
    func tell() async throws {
        let circuits = Set(self.workers.failingCircuits)
        guard circuits != self.told.withLock({ $0 }) else { return }
        guard try await self.store.note(Array(circuits), of: self.replica) else { return }
        self.told.withLock { $0 = circuits }
    }

    /// What all replicas have to say of an agent; nothing of one that works.
    func circuits(of agent: AgentID, org: OrganizationID) async throws -> [AgentCircuit] {
        try await reaching { try await self.store.circuits(of: agent, org: org) }
    }
}
