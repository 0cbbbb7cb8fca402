/// For each bug that can be planted, the faults, and the settings, under which it must be found.
struct PlantedRun: Sendable {
    let bug: String
    let kinds: [NemesisKind]
    var settings: [String: String] = [:]

    static let all = [
        PlantedRun(bug: "noCompareAndSet", kinds: [.freezeReplica, .killReplica]),
        PlantedRun(bug: "unfencedEvents", kinds: [.freezeReplica]),
        PlantedRun(bug: "hydrateBeforeBump", kinds: [.killWorker]),
        PlantedRun(bug: "markerOutsideTransaction", kinds: [.killReplica]),
        PlantedRun(bug: "snapshotOutsideTransaction", kinds: [.killReplica]),
        PlantedRun(bug: "endOfOutputIsExit", kinds: [.muteWorker]),
        PlantedRun(bug: "joinedKeys", kinds: [.killWorker]),
        PlantedRun(bug: "pollsOff", kinds: [.killReplica], settings: ["hints": "off"]),
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
