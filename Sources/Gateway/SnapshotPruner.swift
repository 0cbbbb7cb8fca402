import Domain
import Runtime
import Store

/// Removes snapshots that their agents keep no longer, a stretch at a time. Every replica does, and a walk over all
/// chains may take as long as it takes.
final class SnapshotPruner: Service {
    let name = "snapshot pruner"
    private let store: Store
    private let limits: Limits
    private let log: Logger
    private let metrics: Metrics

    init(store: Store, limits: Limits, log: Logger, metrics: Metrics) {
        self.store = store
        self.limits = limits
        self.log = log
        self.metrics = metrics
    }

    func run(until stop: StopSignal) async throws {
        var place = PruneRound.Place.start
        while await !stop.wait(atMost: self.limits.pruneInterval * Double.random(in: 0.8...1.2)) {
            do {
                let round = try await self.store.pruneSnapshots(after: place, bases: 500, links: 500)
                place = round.next ?? .start
                guard round.pruned.links > 0 else { continue }
                self.log.info(
                    "snapshots pruned",
                    ["links": .number(Int64(round.pruned.links)), "bytes": .number(round.pruned.bytes)]
                )
                self.metrics.count(
                    "turnpike_snapshots_pruned_total",
                    "Links of chains that were removed.",
                    by: Double(round.pruned.links)
                )
            } catch {
                self.log.warning("pruning failed", ["error": .error(error)])
            }
        }
    }
}
