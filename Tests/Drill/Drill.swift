import TestKit

/// The runs that were asked for, one after another on one server.
struct Drill {
    let options: Options

    init(_ options: Options) {
        self.options = options
    }

    /// Whether every promise was kept.
    func run() async throws -> Bool {
        let server = try await Server.start(self.options.turnpike)
        do {
            let isGreen = try await self.run(on: server)
            await server.stop()
            return isGreen
        } catch {
            await server.stop()
            throw error
        }
    }

    private func run(on server: Server) async throws -> Bool {
        switch self.options.mode {
        case .run(let kinds):
            let name = kinds.count == 1 ? kinds[0].rawValue : "mix"
            let report = await self.perform(name, kinds, self.options.seed, on: server)
            Console.say(Report.recoveries([report]) + "\n" + Report.points([report]))
            return report.violations.isEmpty
        case .all(let seeds):
            return try await self.runAll(seeds, on: server)
        case .planted:
            return await PlantedDrill(options: self.options, server: server).run()
        case .figures:
            return try await Figures(options: self.options, server: server).run()
        }
    }

    /// Every nemesis alone, then the mix. Its seeds together have each fault, if there is time for that; a few more seeds
    /// are drawn where chance left one out.
    private func runAll(_ seeds: Int, on server: Server) async throws -> Bool {
        var reports: [RunReport] = []
        for kind in NemesisKind.allCases {
            reports.append(await self.perform(kind.rawValue, [kind], self.options.seed, on: server))
        }
        let expected = seeds * self.options.seconds < Run.wholeMix ? [] : NemesisKind.mix
        var missing = expected
        var number = 0
        while number < seeds || (!missing.isEmpty && number < 2 * seeds) {
            let seed = self.options.seed + UInt64(number)
            let report = await self.perform("mix", NemesisKind.mix, seed, on: server)
            missing.removeAll { report.faults[$0, default: 0] > 0 }
            reports.append(report)
            number += 1
        }
        if !missing.isEmpty { Console.say("RED: the mix never had \(missing.map(\.rawValue))") }
        Console.say(Report.recoveries(reports) + "\n" + Report.points(reports))
        let turns = reports.reduce(0) { $0 + $1.turns }
        let faults = reports.reduce(0) { $0 + $1.faults.values.reduce(0, +) }
        let violations = reports.reduce(0) { $0 + $1.violations.count }
        Console.say("\(reports.count) runs, \(turns) turns, \(faults) faults, \(violations) violations")
        return missing.isEmpty && violations == 0
    }

    private func perform(
        _ name: String,
        _ kinds: [NemesisKind],
        _ seed: UInt64,
        on server: Server
    ) async -> RunReport {
        let report = await Run(options: self.options, name: name, kinds: kinds, seed: seed).report(on: server)
        Console.say(Report.line(report))
        if !report.violations.isEmpty {
            Console.say("RED: \(report.violations.count) violations\n" + Report.violations(report))
        }
        return report
    }
}
