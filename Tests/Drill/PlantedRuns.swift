/// For each bug that can be planted, the faults, and the settings, under which it must be found.
struct PlantedRun: Sendable {
    let bug: String
    let kinds: [NemesisKind]
    var settings: [String: String] = [:]
    /// How long a worker may have nothing to do, and how long a client tries, in seconds.
    var idle = 3
    var patience = 20

    static let all = [
        PlantedRun(bug: "noCompareAndSet", kinds: [.freezeReplica, .killReplica]),
        PlantedRun(bug: "unfencedEvents", kinds: [.freezeReplica]),
        PlantedRun(bug: "hydrateBeforeBump", kinds: [.killWorker]),
        PlantedRun(bug: "markerOutsideTransaction", kinds: [.killReplica]),
        PlantedRun(bug: "snapshotOutsideTransaction", kinds: [.killReplica]),
        PlantedRun(bug: "endOfOutputIsExit", kinds: [.muteWorker]),
        PlantedRun(bug: "joinedKeys", kinds: [.killWorker]),
        // A turn that nobody looks for is found when the worker of its conversation goes; clients give up before.
        PlantedRun(bug: "pollsOff", kinds: [.cutLockSession], settings: ["hints": "off"], idle: 12, patience: 9),
        PlantedRun(bug: "lockKept", kinds: [.killWorker]),
        PlantedRun(bug: "numberedEarly", kinds: [.killReplica]),
        PlantedRun(bug: "keyForgotten", kinds: [.loseAnswers, .killReplica]),
        PlantedRun(bug: "acknowledgedEarly", kinds: [.killReplica]),
        PlantedRun(bug: "sweptWithoutOutcome", kinds: [.killReplica]),
        PlantedRun(bug: "newestFirst", kinds: [.killWorker]),
        PlantedRun(bug: "descriptorKept", kinds: [.killWorker]),
        PlantedRun(bug: "nobodyTakesOver", kinds: [.killReplica]),
    ]
}
