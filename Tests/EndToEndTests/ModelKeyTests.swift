import Domain
import Foundation
import Glibc
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    /// Real programs: an upstream with two backends, replicas that come and go, and a key that nobody but them has.
    @Suite struct ModelKeyTests {
        private static let canary = "sk-canary-\(UInt64.random(in: 1 << 60 ... .max))"

        private struct Upstream {
            let process: Spawned
            let port: Int
            let folder: ScratchDirectory

            /// Which backend answers from now on.
            func serve(as name: String) throws {
                try Data(name.utf8).write(to: URL(fileURLWithPath: self.folder.file("backend")), options: .atomic)
            }

            /// The header lines of every call, a JSON object a line.
            var calls: [JSONValue] {
                TextFile.read(self.folder.file("calls")).split(separator: "\n").compactMap { line in
                    try? JSONDecoder().decode(JSONValue.self, from: Data(line.utf8))
                }
            }
        }

        private static func upstream(_ installation: Installation) async throws -> Upstream {
            let port = try LocalSocket.freePort()
            let process = try await Spawned.start(
                [
                    "/usr/bin/python3", "-S", Places.path(ofDouble: "upstream_double.py"), String(port),
                    installation.folder.path,
                ],
                environment: ["PATH": "/usr/bin:/bin"],
                output: installation.folder.file("upstream.log")
            )
            try await eventually("the upstream listens") {
                do {
                    close(try LocalSocket.connect(port: port))
                    return true
                } catch {
                    return false
                }
            }
            return Upstream(process: process, port: port, folder: installation.folder)
        }

        /// A replica whose upstream is `upstream`.
        private static func replica(_ installation: Installation, _ upstream: Upstream) async throws -> Replica {
            let (file, key) = (installation.folder.file("upstreams.json"), installation.folder.file("key"))
            try Data("\(Self.canary)\n".utf8).write(to: URL(fileURLWithPath: key))
            let text = #"{"up":{"url":"http://127.0.0.1:\#(upstream.port)/v1","key_file":"\#(key)"}}"#
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            return try await installation.replica(["upstreams": file, "log_level": "debug"])
        }

        @Test("the hint outlives its replica, a switch is followed, and the key is in no worker, file, log or table")
        func canary() async throws {
            try await Installation.with { installation in
                let upstream = try await Self.upstream(installation)
                defer { upstream.process.signal(SIGKILL) }
                try upstream.serve(as: "one")
                let first = try await Self.replica(installation, upstream)
                var client = installation.client(first.port)
                let command = ["/usr/bin/python3", "-S", Places.path(ofDouble: "model_double.py")]
                try await client.put("asker", command, more: #","store_mode":"none","model":{"upstream":"up"}"#)
                try await Self.ask(client)
                #expect(upstream.calls.last?["authorization"]?.text == "Bearer \(Self.canary)")
                #expect(upstream.calls.last?["x-aao-preferred-backend"] == nil)
                let workers = ProcessTable.descendants(of: first.pid)
                #expect(!workers.isEmpty)
                #expect(Self.holders(workers).isEmpty)
                // The scan finds what is there.
                #expect(try Self.memory(first.pid).contains(Array(Self.canary.utf8)), "the gateway itself has it")
                try await first.kill()

                try upstream.serve(as: "two")
                let second = try await Self.replica(installation, upstream)
                client = installation.client(second.port)
                try await Self.ask(client)
                #expect(upstream.calls.last?["x-aao-preferred-backend"]?.text == "one", "from before the restart")
                try await Self.ask(client)
                #expect(upstream.calls.last?["x-aao-preferred-backend"]?.text == "two")
                #expect(Self.holders(ProcessTable.descendants(of: second.pid)).isEmpty)
                let shown = try await client.http.send("GET", "/v1/agents/asker/conversations/c").json()
                #expect(shown["backend"]?.text == "two")
                try Self.checkFiles(installation)
                #expect(try await Self.tables(installation).isEmpty)
                try await Ledger(installation).check(turns: 3)
            }
        }

        @Test(
            "OpenAI's SDK as it is works for a worker, told by its environment alone, and does not try again what is spent"
        )
        func officialSDK() async throws {
            try await Installation.with { installation in
                let upstream = try await Self.upstream(installation)
                defer { upstream.process.signal(SIGKILL) }
                try upstream.serve(as: "one")
                let client = installation.client(try await Self.replica(installation, upstream).port)
                try await client.put(
                    "sdk",
                    [try Places.sdkPython(), Places.worker("openai_worker.py")],
                    more: #","driver":"command","model":{"upstream":"up","models":["m"],"calls":3}"#
                )
                for (verb, said) in [
                    ("whole", #"{"text": "hi", "tokens": 2}"#), ("streamed", #"{"pieces": ["one ", "two ", "three"]}"#),
                    ("refused", #"{"code": "model_not_allowed"}"#),
                ] {
                    #expect(try await client.reply("sdk", "c", verb) == "\(said)\n")
                }
                let before = upstream.calls.count
                #expect(before == 2)
                let spent = try await client.reply("sdk", "c", "spent")
                #expect(spent == #"{"code": "budget_spent"}"# + "\n")
                #expect(upstream.calls.count == before + 3)
            }
        }

        private static func ask(_ client: Client) async throws {
            let reply = try await client.reply("asker", "c", "call")
            #expect(reply.hasPrefix("200 "), "\(reply)")
        }

        /// The processes that have the key in their environment or anywhere in their memory.
        private static func holders(_ processes: Set<pid_t>) -> [pid_t] {
            let key = Array(Self.canary.utf8)
            return processes.filter { pid in
                if TextFile.read("/proc/\(pid)/environ").contains(Self.canary) { return true }
                // One that has ended meanwhile has nothing.
                return (try? Self.memory(pid).contains(key)) ?? false
            }
        }

        /// The private, writable memory of a process.
        private static func memory(_ pid: pid_t) throws -> Memory {
            let file = open("/proc/\(pid)/mem", O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw SystemError.last("open") }
            defer { close(file) }
            var parts: [[UInt8]] = []
            for line in TextFile.read("/proc/\(pid)/maps").split(separator: "\n") {
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                guard fields.count > 1, fields[1].hasPrefix("rw") else { continue }
                let ends = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
                guard ends.count == 2, ends[1] - ends[0] <= 256 << 20 else { continue }
                var part = [UInt8](repeating: 0, count: Int(ends[1] - ends[0]))
                let count = pread(file, &part, part.count, off_t(ends[0]))
                if count > 0 { parts.append(Array(part[..<count])) }
            }
            return Memory(parts: parts)
        }

        private struct Memory {
            let parts: [[UInt8]]

            func contains(_ bytes: [UInt8]) -> Bool {
                self.parts.contains { part in part.withUnsafeBytes { Self.find(bytes, in: $0) } }
            }

            private static func find(_ bytes: [UInt8], in memory: UnsafeRawBufferPointer) -> Bool {
                var rest = memory
                while rest.count >= bytes.count, let start = rest.baseAddress,
                    let found = memchr(start, Int32(bytes[0]), rest.count - bytes.count + 1)
                {
                    if memcmp(found, bytes, bytes.count) == 0 { return true }
                    rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(found) - start + 1)...])
                }
                return false
            }
        }

        /// No file holds the key but its own: neither workspaces nor logs.
        private static func checkFiles(_ installation: Installation) throws {
            let root = installation.folder.path
            let names = try #require(FileManager.default.enumerator(atPath: root)).compactMap { $0 as? String }
            #expect(names.contains { $0.hasPrefix("replica-") } && names.contains { $0.hasPrefix("workspaces/") })
            for name in names where name != "key" && name != "calls" {
                guard let data = FileManager.default.contents(atPath: "\(root)/\(name)") else { continue }
                #expect(data.range(of: Data(Self.canary.utf8)) == nil, "\(name)")
            }
        }

        /// The tables of the database that hold the key.
        private static func tables(_ installation: Installation) async throws -> [String] {
            var found: [String] = []
            let names = try await installation.pool.query(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'turnpike' AND table_type = 'BASE TABLE'"
            ).map { try $0.get("table_name", as: String.self) }
            #expect(names.count > 5)
            for name in names {
                let count: Int =
                    try await installation.pool.query(
                        """
                        SELECT count(*) FROM turnpike.\(unescaped: name) t
                        WHERE strpos(t::text, \(Self.canary)::text) > 0
                        """
                    ).first?.get("count") ?? 0
                if count > 0 { found.append(name) }
            }
            return found
        }
    }
}
