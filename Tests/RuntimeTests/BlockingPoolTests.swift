import Foundation
import Runtime
import Testing

@Suite("Threads for what blocks")
struct BlockingPoolTests {
    /// Where the kernel shows the thread that asks.
    @Sendable private static func thread() throws -> String {
        "/proc/" + (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self"))
    }

    /// The threads of a pool that all were used, one call each at the same moment; nobody holds the pool afterwards.
    private static func used(_ count: Int) async throws -> Set<String> {
        let pool = BlockingPool(threads: count)
        let here = Locked(0)
        return try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<count {
                group.addTask {
                    try await pool.run {
                        here.withLock { $0 += 1 }
                        let deadline = ContinuousClock.now + .seconds(10)
                        while here.withLock({ $0 }) < count, ContinuousClock.now < deadline { usleep(1_000) }
                        return try Self.thread()
                    }
                }
            }
            return try await group.reduce(into: []) { $0.insert($1) }
        }
    }

    @Test("the threads of a pool end when nobody holds it any more")
    func ends() async throws {
        let threads = try await Self.used(1).union(try await Self.used(4))
        #expect(threads.count == 5)
        let deadline = ContinuousClock.now + .seconds(10)
        while threads.contains(where: FileManager.default.fileExists), ContinuousClock.now < deadline {
            await Task.yield()
        }
        #expect(threads.filter(FileManager.default.fileExists) == [])
    }
}
