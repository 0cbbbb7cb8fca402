import Foundation
import Postgres
import Runtime
import Testing

/// Prints figures; runs only when asked to, since a loaded machine says nothing.
@Suite("Throughput", .enabled(if: ProcessInfo.processInfo.environment["MEASURE"] != nil), .serialized)
struct ThroughputTests {
    @Test("prepared SELECT 1, on one and on six connections", arguments: [1, 6])
    func selectOne(_ size: Int) async throws {
        let pool = try Bench().pool(size: size)
        try await pool.query("SELECT 1 AS one")
        let (start, count) = (ContinuousClock.now, 20_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<size {
                group.addTask {
                    for _ in 0..<(count / size) { try await pool.query("SELECT 1 AS one") }
                }
            }
            try await group.waitForAll()
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        #expect(seconds > 0)
        let line = "\(size) connections: \(Int(Double(count) / seconds)) queries/s\n"
        FileHandle.standardError.write(Data(line.utf8))
        await pool.close()
    }
}
