/// For each bug that can be planted, the conditions under which it must be found, and the checks that must see it.
struct PlantedRun: Sendable {
    /// The faults, the settings, how long a worker may have nothing to do, and how long a client tries, in seconds.
    struct Conditions: Sendable, Hashable {
        var kinds: [NemesisKind]
        var settings: [String: String] = [:]
        var idle = 3
        var patience = 20

        var name: String {
            (self.kinds.map(\.rawValue) + self.settings.map { "\($0.key)=\($0.value)" }).joined(separator: " ")
        }
    }

    let bug: String
    /// One of these must be violated. That anything else is, or that a run could not go on, proves nothing.
    let checks: Set<String>
    let conditions: Conditions

    private init(_ bug: String, seenBy checks: Set<String>, _ kinds: NemesisKind...) {
        self.init(bug, seenBy: checks, under: Conditions(kinds: kinds))
    }

    private init(_ bug: String, seenBy checks: Set<String>, under conditions: Conditions) {
        self.bug = bug
        self.checks = checks
        self.conditions = conditions
    }

    /// A violation by which the bug was seen.
    func sight(in violations: [Violation]) -> Violation? {
        violations.first { self.checks.contains($0.check) }
    }

    static let all = [
        PlantedRun("noCompareAndSet", seenBy: ["outcomes", "chain"], .freezeReplica, .killReplica),
        PlantedRun("unfencedEvents", seenBy: ["events"], .freezeReplica),
        PlantedRun("hydrateBeforeBump", seenBy: ["chain", "order"], .killWorker),
        PlantedRun("markerOutsideTransaction", seenBy: ["accepts", "rest"], .killReplica),
        PlantedRun("snapshotOutsideTransaction", seenBy: ["chain", "order"], .killReplica),
        PlantedRun("endOfOutputIsExit", seenBy: ["orphans", "workers"], .muteWorker),
        PlantedRun("joinedKeys", seenBy: ["accepts", "order"], .killWorker),
        // A turn that nobody looks for is found when the worker of its conversation goes; clients give up before.
        PlantedRun(
            "pollsOff",
            seenBy: ["accepts"],
            under: Conditions(kinds: [.cutLockSession], settings: ["hints": "off"], idle: 12, patience: 9)
        ),
        PlantedRun("lockKept", seenBy: ["locks"], .killWorker),
        PlantedRun("numberedEarly", seenBy: ["events"], .killReplica),
        PlantedRun("keyForgotten", seenBy: ["accepts"], .loseAnswers, .killReplica),
        PlantedRun("acknowledgedEarly", seenBy: ["accepts"], .killReplica),
        PlantedRun("sweptWithoutOutcome", seenBy: ["outcomes"], .killReplica),
        PlantedRun("newestFirst", seenBy: ["order"], .killWorker),
        PlantedRun("descriptorKept", seenBy: ["descriptors"], .killWorker),
        PlantedRun("nobodyTakesOver", seenBy: ["accepts", "recovery", "rest"], .killReplica),
    ]
}
