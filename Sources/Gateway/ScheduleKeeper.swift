import Domain
import Foundation
import Runtime
import Store

/// Begins the runs of schedules when their time has come. Every replica looks; a run begins once, on whichever is first.
final class ScheduleKeeper: Service {
    let name = "schedules"
    private let store: Store
    private let wakeDispatcher: WakeUp
    private let isDraining: @Sendable () -> Bool
    private let limits: Limits
    private let log: Logger
    private let metrics: Metrics

    init(tools: SessionTools, isDraining: @escaping @Sendable () -> Bool) {
        self.store = tools.store
        self.wakeDispatcher = tools.wakeDispatcher
        self.isDraining = isDraining
        self.limits = tools.limits
        self.log = tools.log
        self.metrics = tools.metrics
    }

    func run(until stop: StopSignal) async throws {
        while await !stop.wait(atMost: self.limits.schedulePoll * Double.random(in: 0.8...1.2)) {
            guard !self.isDraining() else { continue }
            do {
                while !stop.isRaised, try await self.fire() {}
            } catch {
                self.log.warning("schedules were not looked at", ["error": .error(error)])
            }
        }
    }

    /// Begins what one schedule owes; false when none is due.
    private func fire() async throws -> Bool {
        let fired = try await self.store.fireSchedule(Self.firing, newTurn: { try NewID.make() })
        guard let fired else { return false }
        self.metrics.count(
            "turnpike_schedule_runs_total",
            "Runs of schedules that were begun.",
            by: Double(fired.turns.count)
        )
        if let refusal = fired.refusal {
            self.log.warning(
                "a run of a schedule was refused",
                ["org": .text(fired.org.text), "schedule": .text(fired.id.text), "reason": .text(refusal)]
            )
        }
        if !fired.turns.isEmpty { self.wakeDispatcher.signal() }
        return true
    }

    /// What a schedule does that is due. One whose zone this host does not know any more has its times by Greenwich.
    private static func firing(_ due: DueSchedule) -> Firing {
        let offset = ZoneClock(due.schedule.timeZone)?.offset ?? { _ in 0 }
        return Firing(due: due.due, now: due.now, catchUp: due.schedule.catchUp) {
            due.schedule.cron.next(after: $0, offset: offset)
        }
    }
}

/// The clocks of a time zone.
struct ZoneClock: Sendable {
    private let zone: TimeZone

    /// Nil when there is no zone of this name.
    init?(_ name: String) {
        guard name == "UTC" || name.contains("/"), let zone = TimeZone(identifier: name) else { return nil }
        self.zone = zone
    }

    /// How far the clocks are ahead of Greenwich at a time in seconds since 1970.
    var offset: @Sendable (Int64) -> Int64 {
        { [zone] in Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval($0)))) }
    }
}
