import Glibc
import Postgres
import TestKit
import Testing

extension EndToEnd {
    @Suite struct CrowdTests {
        static let conversations = 1_000
        static let clients = 32

        @Test("a thousand live conversations cost one replica twelve connections at most, and leave nothing behind")
        func thousandConversations() async throws {
            try await Installation.with { installation in
                let replica = try await installation.replica(["max_workers": "1100", "drain_seconds": "25"])
                let client = installation.client(replica.port)
                try await client.put("trivial", [try await installation.trivialAgent()])
                let resting = (
                    rss: ProcessTable.status(replica.pid, "VmRSS"), ProcessTable.status(replica.pid, "Threads")
                )
                let start = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for first in 0..<Self.clients {
                        group.addTask {
                            for number in stride(from: first, to: Self.conversations, by: Self.clients) {
                                _ = try await client.submit("trivial", "c-\(number)", "hello")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let ledger = Ledger(installation)
                try await eventually("all turns complete", within: .seconds(90)) {
                    try await ledger.count("SELECT count(*) FROM turnpike.outcomes") == Self.conversations
                }
                Figures.report("\(Self.conversations) cold turns took \(ContinuousClock.now - start)")
                #expect(try await ledger.count(Self.live) == Self.conversations)
                let tree = ProcessTable.descendants(of: replica.pid)
                #expect(tree.count >= Self.conversations)
                let connections = try await ledger.count(Self.connections) - 1
                #expect(connections <= 12)
                let now = (rss: ProcessTable.status(replica.pid, "VmRSS"), ProcessTable.status(replica.pid, "Threads"))
                Figures.report(
                    "\(Self.conversations) live conversations: \(connections) connections, \(now.rss) kB RSS "
                        + "(\(resting.rss) kB before), \(now.1) threads (\(resting.1) before), \(tree.count) processes"
                )
                let leaving = ContinuousClock.now
                #expect(try await replica.leave() == 0)
                Figures.report("a replica with as many idle workers left after \(ContinuousClock.now - leaving)")
                let survivors = tree.filter(ProcessTable.runs)
                #expect(survivors.isEmpty, "\(survivors.count) processes were left")
                #expect(try await ledger.count(Self.live) == 0)
                try await ledger.check(turns: Self.conversations)
            }
        }

        private static let live: Query = "SELECT count(*) FROM turnpike.deployments WHERE ended_at IS NULL"
        /// All sessions in this database; one of them asks.
        private static let connections: Query = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
            """
    }
}

extension Installation {
    /// The smallest worker, compiled: its path.
    func trivialAgent() async throws -> String {
        let compiler = try Missing.program("/usr/bin/cc", remedy: "apt-get install gcc")
        let program = self.folder.file("trivial_agent")
        let words = [compiler, "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", program]
        let process = try await Spawned.start(
            words + [Places.worker("trivial_agent.c")],
            environment: ["PATH": "/usr/bin:/bin"],
            output: self.folder.file("cc.log")
        )
        guard try await process.end(within: .seconds(60)) == 0 else { throw Missing(description: process.text) }
        return program
    }
}
