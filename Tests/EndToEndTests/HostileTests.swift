import Domain
import Foundation
import Glibc
import Runtime
import Subprocess
import TestKit
import Testing

extension EndToEnd {
    /// One worker does harm, and its neighbours on the same replica go on as if nothing was.
    @Suite struct HostileTests {
        /// What a hostile worker does, and what becomes of its turn.
        private struct Foe {
            let mode: String
            /// The outcome's failure code; nil when the turn is completed.
            let code: String?
            var reply = ""
            /// The agent's `progress_seconds`; a worker that closed its output has 2 s to exit, and memory takes time to fill.
            var progress = 1
            /// The agent's limit of processes; nil for none.
            var processes: Int?
        }

        /// A bomb within its bound is one more where the host can keep the bound.
        private static let bounded: [Foe] = {
            switch ControlGroups.finding {
            case .directory: return [Foe(mode: "bounded-bomb", code: "worker_unresponsive", processes: 20)]
            case .none(let problem) where geteuid() == 0:
                Figures.report("no fork bomb under limits: \(problem)")
                return []
            case .none:
                Figures.report("no fork bomb under limits: without control groups the bound counts all of the user's")
                return []
            }
        }()

        private static let foes = [
            Foe(mode: "flood", code: "output_limit"),
            Foe(mode: "flood-noise", code: "protocol_error"),
            Foe(mode: "flood-errors", code: "worker_unresponsive"),
            Foe(mode: "line", code: "output_limit"),
            Foe(mode: "close-output", code: "worker_exited", progress: 5),
            Foe(mode: "bomb", code: "worker_unresponsive"),
            Foe(mode: "hog", code: "worker_exited", progress: 5),
            Foe(mode: "daemon", code: "worker_exited"),
            Foe(mode: "deaf", code: "worker_unresponsive"),
            Foe(mode: "wrong-turn", code: "worker_unresponsive"),
            Foe(mode: "invalid-bytes", code: "protocol_error"),
            Foe(mode: "two-replies", code: nil, reply: "one"),
            Foe(mode: "links", code: nil, reply: "linked"),
        ]

        private static let neighbours = 4
        /// How long latencies are taken at least; several hundred turns.
        private static let round = Duration.seconds(1)
        /// Below this a latency is the machine's doing: its two processors run the tests and the workers, too.
        private static let floor = Duration.milliseconds(50)
        /// A hostile round that came out too slow is taken again, with a quiet one beside it.
        private static let tries = 3
        private static let growth = 16 * 1024

        @Test("a hostile worker fails its own turn only: neighbours as fast, the replica as small, and nothing left")
        func neighbours() async throws {
            try await Installation.with { installation in
                let replica = try await installation.replica()
                let client = installation.client(replica.port)
                let mark = "hostile-\(UUID())"
                try await client.put("quiet", [try await installation.trivialAgent()])
                for foe in Self.foes + Self.bounded { try await Self.put(foe, client, installation, mark) }
                // The first of everything is dearer, and what the replica keeps for good is its baseline.
                _ = try await Self.latencies(client) { try await Self.suffer(Self.foes[11], client, mark) }
                for _ in 0..<4 { _ = try await Self.latencies(client) }
                let before = ProcessTable.status(replica.pid, "VmRSS")
                try Self.resetPeak(replica.pid)

                for foe in Self.foes + Self.bounded {
                    let (slow, quiet) = try await Self.compare(foe, client, mark)
                    #expect(slow <= max(quiet * 2, Self.floor), "p99 \(slow) beside \(foe.mode), \(quiet) in quiet")
                }
                let peak = ProcessTable.status(replica.pid, "VmHWM")
                Figures.report("replica beside hostile workers: \(before) kB RSS before, \(peak) kB at its peak")
                #expect(peak - before <= Self.growth, "\(before) kB before, \(peak) kB at the peak")
                try await eventually("idle hostile workers are gone, too") { ProcessTable.marked(mark).isEmpty }
                #expect(ProcessTable.zombies(of: replica.pid).isEmpty)
            }
        }

        @Test("links that a worker leaves lead nowhere: nothing outside its workspace is written or removed")
        func links() async throws {
            try await Installation.with { installation in
                let client = installation.client(try await installation.replica().port)
                let victim = installation.folder.file("victim")
                try SystemError.check("mkdir", mkdir(victim, 0o755))
                try installation.folder.write("kept", to: "victim/file")
                let mark = "hostile-\(UUID())"
                for mode in ["links", "swap-home"] {
                    try await Self.put(Foe(mode: mode, code: nil), client, installation, mark)
                }
                // The workspace of a direct turn is removed with all that is in it.
                let path = "/v1/agents/links/turns"
                let answer = try await client.http.send("POST", path, #"{"input":"now"}"#)
                let direct = try #require(try answer.json()["turn"]?["id"]?.text)
                #expect(try await client.outcome(direct).reply == "linked")
                let workspaces = installation.folder.file("workspaces")
                try await eventually("the workspace is removed") {
                    try FileManager.default.contentsOfDirectory(atPath: workspaces).isEmpty
                }
                // The next worker of a conversation would find a home that is somewhere else.
                #expect(try await client.reply("swap-home", "c", "now") == "swapped")
                try await eventually("the worker was idle for long enough") { ProcessTable.marked(mark).isEmpty }
                let next = try await client.outcome(try await client.submit("swap-home", "c", "now"))
                #expect(next.code == "worker_start_failed", "\(next)")
                #expect(try FileManager.default.contentsOfDirectory(atPath: victim) == ["file"])
                #expect(TextFile.read("\(victim)/file") == "kept")
            }
        }

        /// The p99 of the neighbours' turns beside a foe, and without it just before.
        private static func compare(_ foe: Foe, _ client: Client, _ mark: String) async throws -> (Duration, Duration) {
            var result: (slow: Duration, quiet: Duration) = (.zero, .zero)
            for attempt in 1...self.tries {
                let quiet = try await self.latencies(client)
                let beside = try await self.latencies(client) { try await self.suffer(foe, client, mark) }
                result = (Self.p99(beside), Self.p99(quiet))
                Figures.report(
                    "beside \(foe.mode): p99 \(result.slow) of \(beside.count) turns, quiet \(result.quiet) of "
                        + "\(quiet.count), try \(attempt)"
                )
                if result.slow <= max(result.quiet * 2, self.floor) { break }
            }
            return result
        }

        /// Runs the neighbours until `body` is done, where there is one, and for a round at least.
        private static func latencies(
            _ client: Client,
            beside body: (@Sendable () async throws -> Void)? = nil
        ) async throws -> [Duration] {
            let isOver = Locked(false)
            let end = ContinuousClock.now + self.round
            return try await withThrowingTaskGroup(of: [Duration].self) { group in
                for number in 0..<self.neighbours {
                    group.addTask {
                        var found: [Duration] = []
                        while !isOver.withLock({ $0 }) || ContinuousClock.now < end {
                            let start = ContinuousClock.now
                            let reply = try await client.reply("quiet", "n-\(number)", "hello")
                            guard reply == "ok" else { throw Client.Unexpected(description: reply) }
                            found.append(ContinuousClock.now - start)
                        }
                        return found
                    }
                }
                group.addTask {
                    defer { isOver.withLock { $0 = true } }
                    guard let body else { return [] }
                    // Again and again, so that there is harm for the whole round.
                    repeat { try await body() } while ContinuousClock.now < end && !Task.isCancelled
                    return []
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }

        private static func p99(_ latencies: [Duration]) -> Duration {
            latencies.sorted()[latencies.count * 99 / 100]
        }

        /// One turn of a hostile worker: its outcome is its own, and a worker that was to die has left nothing.
        private static func suffer(_ foe: Foe, _ client: Client, _ mark: String) async throws {
            let conversation = foe.code == nil ? "h" : "h-\(UInt32.random(in: 0 ... .max))"
            let turn = try await client.submit(foe.mode, conversation, "now")
            let outcome = try await client.outcome(turn)
            #expect(outcome.code == foe.code, "\(foe.mode): \(outcome.message)")
            if foe.code == nil {
                #expect(outcome.state == "completed" && outcome.reply == foe.reply, "\(foe.mode): \(outcome)")
            } else {
                try await eventually("nothing is left of \(foe.mode)", within: .seconds(5)) {
                    ProcessTable.marked("\(mark)-\(foe.mode)").isEmpty
                }
            }
        }

        private static func put(
            _ foe: Foe,
            _ client: Client,
            _ installation: Installation,
            _ mark: String
        ) async throws {
            let victim = installation.folder.file("victim")
            try await client.put(
                foe.mode,
                ["/usr/bin/python3", "-I", "-S", Places.worker("hostile_agent.py"), foe.mode, victim],
                more: """
                    ,"store_mode":"none","isolation":"limits","environment":{"MARK":"\(mark)-\(foe.mode)"},\
                    "limits":{"progress_seconds":\(foe.progress),"turn_seconds":20,"grace_seconds":1,"idle_seconds":1,\
                    "line_bytes":1048576,"output_bytes":1048576,"memory_bytes":134217728\(foe.processes.map { #","processes":\#($0)"# } ?? "")}
                    """
            )
        }

        /// From now on the kernel's VmHWM of the process is the peak from here on.
        private static func resetPeak(_ pid: pid_t) throws {
            let file = open("/proc/\(pid)/clear_refs", O_WRONLY | O_CLOEXEC)
            try SystemError.check("open clear_refs", file)
            defer { close(file) }
            try SystemError.check("write clear_refs", Int32(write(file, "5", 1)))
        }
    }
}
