import Foundation
import TestKit
import Testing

@testable import turnpike_drill

@Suite struct ShortDrillTests {
    /// Where the programs under test are.
    static var programs: String {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/") + "/.build/debug"
    }

    @Test("every promise is kept while replicas, workers, lock sessions and PostgreSQL die")
    func shortMix() async throws {
        var options = try Options(programs: Self.programs)
        options.seconds = 10
        options.conversations = 12
        let kinds: [NemesisKind] = [.killReplica, .killWorker, .cutLockSession, .restartPostgres]
        let server = try await Server.start(options.turnpike)
        let run = Run(options: options, name: "short", kinds: kinds, seed: Seed(for: "short drill").value)
        let report = try await run.perform(on: server)
        await server.stop()
        FileHandle.standardError.write(Data("figure: \(Report.line(report))\n\(Report.recoveries([report]))\n".utf8))
        #expect(report.violations.isEmpty, "\(Report.violations(report))")
        for kind in kinds { #expect(report.faults[kind, default: 0] > 0, "\(kind.rawValue) had its effect") }
        #expect(report.turns > 50)
    }
}
