/// Shows for each bug that can be planted that the drill sees it: the checks that are to see it do, and the same run
/// without the bug violates nothing.
struct PlantedDrill {
    let options: Options
    let server: Server

    /// What a bug needs to show depends on chance: a few runs may pass before it does.
    private static let tries = 5

    /// Whether every bug was found, and every control was green.
    func run() async -> Bool {
        let runs = PlantedRun.all.filter { $0.bug == self.options.plant ?? $0.bug }
        var failures: [String] = []
        for conditions in Set(runs.map(\.conditions)).sorted(by: { $0.name < $1.name }) {
            let report = await self.perform(conditions, named: "control", bug: nil, self.options.seed)
            if report.violations.isEmpty { continue }
            Console.say(Report.violations(report))
            failures.append("a run without a bug (\(conditions.name))")
        }
        for planted in runs where await !self.finds(planted) { failures.append(planted.bug) }
        Console.say(failures.isEmpty ? "found: \(runs.map(\.bug))" : "RED: \(failures)")
        return failures.isEmpty && !runs.isEmpty
    }

    private func finds(_ planted: PlantedRun) async -> Bool {
        for number in 0..<Self.tries {
            let seed = self.options.seed + UInt64(number)
            let report = await self.perform(planted.conditions, named: planted.bug, bug: planted.bug, seed)
            let checks = Dictionary(grouping: report.violations, by: \.check).map { "\($0.key) \($0.value.count)" }
            Console.say("  \(checks.sorted().joined(separator: ", ")); to be seen by \(planted.checks.sorted())")
            if let seen = planted.sight(in: report.violations) {
                Console.say("  \("\(seen)".prefix(300))")
                return true
            }
            for violation in report.violations.prefix(2) { Console.say("  not it: \("\(violation)".prefix(300))") }
        }
        return false
    }

    private func perform(
        _ conditions: PlantedRun.Conditions,
        named name: String,
        bug: String?,
        _ seed: UInt64
    ) async -> RunReport {
        var options = self.options
        options.plant = bug
        options.patience = .seconds(conditions.patience)
        var run = Run(options: options, name: name, kinds: conditions.kinds, seed: seed)
        run.settings = conditions.settings
        run.limits = Cluster.limits(idle: conditions.idle)
        let report = await run.report(on: self.server)
        Console.say(Report.line(report))
        return report
    }
}
