import Domain
import Runtime
import Store
import Workers

/// Keeps as many spare workers as the agents' configurations want: starts them, ends those of older configurations, and
/// ends all of them first when the replica leaves.
final class SpareKeeper: Service {
    let name = "spares"
    private let store: Store
    private let workers: WorkerPool
    private let limits: Limits
    private let isDraining: @Sendable () -> Bool
    private let wake: WakeUp
    private let reactor: Reactor
    private let starting = Locked(0)
    private let log: Logger

    init(tools: SessionTools, isDraining: @escaping @Sendable () -> Bool) {
        self.store = tools.store
        self.workers = tools.workers
        self.limits = tools.limits
        self.isDraining = isDraining
        self.wake = WakeUp(reactor: tools.reactor)
        self.reactor = tools.reactor
        self.log = tools.log
        self.workers.whenSpareIsMissing { [wake] in wake.signal() }
    }

    /// So many agents of an installation may have spares.
    private static let mostAgents = 1_000

    /// Looks again soon: an agent was changed, or this replica begins to leave.
    func look() {
        self.wake.signal()
    }

    func run(until stop: StopSignal) async throws {
        await withDiscardingTaskGroup { group in
            while !stop.isRaised {
                await self.keep(in: &group)
                await self.wake.wait(atMost: self.limits.spareInterval * Double.random(in: 0.8...1.2), or: stop)
            }
            // Again and again: a start that was under way may bring another.
            repeat {
                await self.workers.endSpares { _, _, _ in false }
                await self.reactor.pause(for: .milliseconds(20))
            } while self.starting.withLock { $0 } > 0
        }
    }

    private func keep(in group: inout DiscardingTaskGroup) async {
        let agents: [WarmAgent]
        do {
            agents = self.isDraining() ? [] : try await self.store.warmAgents(limit: Self.mostAgents)
        } catch {
            // What is there stays until it is known again what is wanted.
            return self.log.debug("spares could not be looked after", ["error": .error(error)])
        }
        await self.workers.endSpares { org, agent, version in
            agents.contains { $0.org == org && $0.agent == agent && $0.version == version }
        }
        for agent in agents where agent.configuration.problems.isEmpty {
            let (org, name, version) = (agent.org, agent.agent, agent.version)
            let count = self.workers.spareCount(org: org, agent: name, version: version)
            for _ in 0..<max(0, agent.configuration.warm - count) {
                guard self.workers.refusalToStart(org: org, agent: name, version: version) == nil else { break }
                guard self.beginStart() else { return }
                group.addTask {
                    let isMore = await self.start(agent)
                    self.starting.withLock { $0 -= 1 }
                    if isMore { self.wake.signal() }
                }
            }
        }
    }

    private func beginStart() -> Bool {
        self.starting.withLock { starting in
            guard starting < self.limits.spareStartsAtOnce else { return false }
            starting += 1
            return true
        }
    }

    /// Starts one; true when it came up, so that it may be worthwhile to start another at once. One that did not is
    /// tried again at the next look.
    private func start(_ agent: WarmAgent) async -> Bool {
        do {
            let order = SpareOrder(
                org: agent.org,
                agent: agent.agent,
                version: agent.version,
                configuration: agent.configuration,
                workspace: try NewID.make(WorkspaceID.self)
            )
            return await self.workers.startSpare(order)
        } catch {
            self.log.warning("a spare has no identity", ["error": .error(error)])
            return false
        }
    }
}
