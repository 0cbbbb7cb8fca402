package import Domain
import Runtime
import Subprocess

/// What workers use, added up by agent. A value: sums of processor time only grow, whoever ends.
struct UsageBook {
    /// So many agents have a line of their own in the metrics; what all others use is told as one.
    static let mostAgents = 100

    private var cpuSeen: [ObjectIdentifier: Double] = [:]
    private var agents: Set<AgentKey> = []
    private(set) var readAt: ContinuousClock.Instant?

    /// Takes a reading of all workers; returns memory now and processor time since the last, for each line.
    mutating func take(
        _ readings: [(id: ObjectIdentifier, key: AgentKey, usage: ResourceUsage)],
        at now: ContinuousClock.Instant
    ) -> [(key: AgentKey?, residentBytes: Int, cpuSeconds: Double)] {
        var lines: [AgentKey?: (bytes: Int, seconds: Double)] = [:]
        for key in self.agents { lines[key] = (0, 0) }
        var seen: [ObjectIdentifier: Double] = [:]
        for reading in readings {
            if self.agents.count < Self.mostAgents { self.agents.insert(reading.key) }
            let line: AgentKey? = self.agents.contains(reading.key) ? reading.key : nil
            let before = self.cpuSeen[reading.id, default: 0]
            lines[line, default: (0, 0)].bytes += reading.usage.residentBytes
            // Less than before: a process of the tree has ended without being waited for.
            lines[line, default: (0, 0)].seconds += max(0, reading.usage.cpuSeconds - before)
            seen[reading.id] = max(before, reading.usage.cpuSeconds)
        }
        self.cpuSeen = seen
        self.readAt = now
        return lines.map { (key: $0.key, residentBytes: $0.value.bytes, cpuSeconds: $0.value.seconds) }
    }
}

extension WorkerPool {
    /// Every worker of this replica with what it uses now, oldest first. Reads files of /proc.
    package func records() -> [WorkerRecord] {
        self.workers.sorted { $0.born < $1.born }.map { worker in
            let usage = worker.resourceUsage() ?? ResourceUsage()
            let binding = worker.state.withLock { $0.binding }
            return WorkerRecord(
                state: worker.lifecycleState,
                pid: worker.pid,
                org: worker.order.org,
                agent: worker.order.agent,
                conversation: binding?.conversation,
                deployment: binding?.deployment,
                age: ContinuousClock.now - worker.born,
                residentBytes: usage.residentBytes,
                cpuSeconds: usage.cpuSeconds
            )
        }
    }

    /// A reading is good for this long: scrapers are several, and a thousand workers are some thousand files.
    private static let readingLasts = Duration.seconds(2)

    func setUsage(_ metrics: Metrics) {
        let now = ContinuousClock.now
        if let readAt = self.usage.withLock({ $0.readAt }), now - readAt < Self.readingLasts { return }
        let readings = self.workers.map { worker in
            (
                id: ObjectIdentifier(worker), key: AgentKey(org: worker.order.org, agent: worker.order.agent),
                usage: worker.resourceUsage() ?? ResourceUsage()
            )
        }
        for line in self.usage.withLock({ $0.take(readings, at: now) }) {
            let labels = ["org": line.key?.org?.text ?? "-", "agent": line.key?.agent.text ?? "(others)"]
            metrics.set(
                "turnpike_worker_resident_bytes",
                "Memory in use by an agent's workers.",
                labels: labels,
                to: Double(line.residentBytes)
            )
            metrics.count(
                "turnpike_worker_cpu_seconds_total",
                "Processor time of an agent's workers, up to the last reading of each.",
                labels: labels,
                by: line.cpuSeconds
            )
        }
    }
}
