import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    /// The worker of these tests does what the prompt says, which is Python, and knows nothing of snapshots.
    @Suite struct DirectoryTests {
        private static func configuration(
            _ change: (inout AgentConfiguration) -> Void = { _ in }
        ) -> AgentConfiguration {
            Rig.configuration("files", store: .snapshot) {
                $0.snapshots.kind = .directory
                change(&$0)
            }
        }

        /// Performs `turns` with one worker and adds what they left to `chain`. Returns the replies.
        @discardableResult
        private static func live(
            _ rig: Rig,
            _ chain: inout [Snapshot],
            _ turns: [String],
            _ configuration: AgentConfiguration = configuration()
        ) async throws -> [String?] {
            let worker = try await rig.start(configuration, chain: chain)
            var replies: [String?] = []
            for text in turns {
                let seq = (chain.last?.seq ?? 0) + 1
                var turn = try Rig.turn(text)
                turn = ArmedTurn(
                    id: turn.id,
                    seq: seq,
                    run: turn.run,
                    attempt: 1,
                    input: turn.input,
                    deadlineSeconds: nil,
                    cancelRequested: false
                )
                let result = await worker.perform(turn, wantsBase: chain.isEmpty)
                replies.append(result.outcome.reply ?? result.outcome.message)
                guard let update = result.snapshot else { continue }
                #expect(result.workerIsUsable)
                chain.append(
                    Snapshot(
                        seq: seq,
                        parent: seq - 1,
                        kind: update.kind,
                        format: update.format,
                        body: update.body
                    )
                )
            }
            Rig.drop(await worker.end())
            return replies
        }

        private static let remember = """
            import os, pathlib
            home = pathlib.Path(os.environ["HOME"], ".agent")
            home.mkdir(exist_ok=True)
            with open(home / "log", "a") as log: log.write("x")
            reply = (home / "log").read_text()
            """

        @Test("an agent that only knows its own files goes on with them on another replica")
        func moves() async throws {
            var chain: [Snapshot] = []
            var root = ""
            try await withRig { rig in
                root = rig.root
                let said1 = try await Self.live(rig, &chain, [Self.remember, Self.remember])
                #expect(said1 == ["x", "xx"])
            }
            #expect(!FileManager.default.fileExists(atPath: root))
            try await withRig { rig in
                let said2 = try await Self.live(rig, &chain, [Self.remember])
                #expect(said2 == ["xxx"])
            }
            #expect(chain.map(\.kind) == [.base, .delta, .delta])
            #expect(chain.allSatisfy { $0.format == .directory })
        }

        @Test("a program that is run once a turn keeps its files in the same way")
        func command() async throws {
            var configuration = AgentConfiguration(
                driver: .command,
                command: ["/bin/sh", "-c", "cat >> $HOME/all; cat $HOME/all"],
                storeMode: .snapshot
            )
            configuration.snapshots.kind = .directory
            #expect(configuration.problems.isEmpty)
            var chain: [Snapshot] = []
            for expected in [["a", "ab"], ["abc", "abcd"]] {
                try await withRig { rig in
                    let texts = expected.map { String($0.suffix(1)) }
                    let said3 = try await Self.live(rig, &chain, texts, configuration)
                    #expect(said3 == expected)
                }
            }
        }

        @Test("a run that died half-way leaves nothing behind for the next one, not even on its own replica")
        func halfTurn() async throws {
            try await withRig { rig in
                var chain: [Snapshot] = []
                let half = "\(Self.remember)\nopen('half', 'w').write('half')\nos.remove(home / 'log')\nos._exit(3)"
                let replies = try await Self.live(rig, &chain, [Self.remember, half])
                #expect(replies.last??.contains("status 3") == true, "\(replies)")
                #expect(chain.count == 1)
                let look = "\(Self.remember)\nreply += str(os.listdir('.'))"
                let said4 = try await Self.live(rig, &chain, [look])
                #expect(said4 == ["xx[]"])
            }
        }

        @Test("a worker that ends after its reply, while its files are taken, has answered, and takes no other turn")
        func endsWhileArchived() async throws {
            try await withRig { rig in
                // Many files, so that the archive takes longer than the exit.
                let leave = """
                    import os, sys
                    for n in range(3000): open(str(n), "w").write("x" * 100)
                    class Out:
                        def __init__(self, out): self.out = out
                        def write(self, text):
                            self.isLast = "stopReason" in text
                            self.out.write(text)
                        def flush(self):
                            self.out.flush()
                            if self.isLast: os._exit(0)
                    sys.stdout = Out(sys.stdout)
                    reply = "done"
                    """
                let worker = try await rig.start(Self.configuration())
                let result = await worker.perform(try Rig.turn(leave))
                #expect(result.outcome.reply == "done", "\(result.outcome)")
                #expect(result.snapshot?.kind == .base)
                // Noticed within the turn or just after it.
                #expect(try await eventually { worker.lifecycleState == .exited })
                let next = await worker.perform(try Rig.turn("reply = 1"))
                #expect(next.outcome.failure == .workerExited && !next.workerIsUsable, "\(next.outcome)")
                Rig.drop(await worker.end())
                let update = try #require(result.snapshot)
                var chain = [Snapshot(seq: 1, parent: 0, kind: .base, format: .directory, body: update.body)]
                let said = try await Self.live(rig, &chain, ["import os\nreply = len(os.listdir('.'))"])
                #expect(said == ["3000"])
            }
        }

        @Test("before the first settled turn, the last settled state is an empty workspace")
        func halfFirstTurn() async throws {
            try await withRig { rig in
                var chain: [Snapshot] = []
                try await Self.live(rig, &chain, ["\(Self.remember)\nos._exit(3)"])
                #expect(chain.isEmpty)
                let said5 = try await Self.live(rig, &chain, [Self.remember])
                #expect(said5 == ["x"])
            }
        }

        @Test("a workspace that nobody touched since stays; one that somebody did is restored")
        func untouched() async throws {
            try await withRig { rig in
                var chain: [Snapshot] = []
                let inode = "import os\nopen(os.environ['HOME'] + '/f', 'a').write('x')\nreply = os.stat('.').st_ino"
                let path = try Self.path(rig)
                let first = try await Self.live(rig, &chain, [inode])
                try Data("{}".utf8).write(to: URL(filePath: "\(path)/tmp/left-over"))
                let second = try await Self.live(rig, &chain, [inode])
                #expect(first == second)
                #expect(!FileManager.default.fileExists(atPath: "\(path)/tmp/left-over"))
                try Data("xy".utf8).write(to: URL(filePath: "\(path)/home/f"))
                let third = try await Self.live(
                    rig,
                    &chain,
                    ["\(inode)\nreply = open(os.environ['HOME'] + '/f').read()"]
                )
                #expect(third == ["xxx"])
            }
        }

        private static func path(_ rig: Rig) throws -> String {
            Workspace(root: rig.root, order: try rig.order(Self.configuration())).path
        }

        @Test("the gateway's own file is kept, what is left out is not, and neither are temporary files")
        func selection() async throws {
            var chain: [Snapshot] = []
            let configuration = Self.configuration {
                $0.snapshots.include = ["home", "*.txt"]
                $0.snapshots.exclude = [".cache/"]
            }
            let write = """
                import os, pathlib
                top = pathlib.Path(os.getcwd()).parent
                for name in ["home/a", "home/.cache/b", "work/c", "work/d.txt", "tmp/e", "session.json", "other"]:
                    (top / name).parent.mkdir(exist_ok=True)
                    (top / name).write_text("x")
                """
            let look = """
                import os, pathlib
                top = pathlib.Path(os.getcwd()).parent
                reply = sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())
                """
            try await withRig { rig in
                _ = try await Self.live(rig, &chain, [write], configuration)
            }
            try await withRig { rig in
                let replies = try await Self.live(rig, &chain, [look], configuration)
                #expect(replies == ["['home/a', 'session.json', 'work/d.txt']"])
            }
        }

        @Test("a database that is open, with its write-ahead log, is taken as of one moment")
        func database() async throws {
            var chain: [Snapshot] = []
            let write = """
                import sqlite3, os, builtins
                if not hasattr(builtins, "db"):
                    builtins.db = sqlite3.connect(os.environ["HOME"] + "/a.db")
                    builtins.db.execute("pragma journal_mode = wal")
                    builtins.db.execute("create table if not exists t (x)")
                builtins.db.executemany("insert into t values (?)", [(str(n) * 50,) for n in range(500)])
                builtins.db.commit()
                reply = builtins.db.execute("select count(*) from t").fetchone()[0]
                """
            try await withRig { rig in
                let said6 = try await Self.live(rig, &chain, [write, write, write])
                #expect(said6 == ["500", "1000", "1500"])
            }
            try await withRig { rig in
                let check = "\(write)\nreply = (reply, builtins.db.execute('pragma integrity_check').fetchone()[0])"
                let said7 = try await Self.live(rig, &chain, [check])
                #expect(said7 == ["(2000, 'ok')"])
            }
        }

        @Test("a process that goes on writing after the reply stands still while its files are taken, and then goes on")
        func busyHelper() async throws {
            var chain: [Snapshot] = []
            let start = """
                import os, subprocess
                os.set_blocking(1, True)
                code = "import os\\nn = 0\\nwhile True:\\n n += 1\\n t = str(n) * 2000\\n"
                code += " for f in 'ab':\\n  d = os.open(f, os.O_WRONLY | os.O_CREAT); os.pwrite(d, t.encode(), 0); os.close(d)"
                subprocess.Popen(["/usr/bin/python3", "-S", "-c", code])
                while not os.path.exists("b"): pass
                """
            let look = "a, b = open('a').read(), open('b').read()\nreply = a[0] == '1' or len(a) > 0"
            try await withRig { rig in
                let wait = """
                    import os, time
                    before = os.stat('a').st_mtime_ns
                    end = time.time() + 10
                    while os.stat('a').st_mtime_ns == before and time.time() < end: pass
                    reply = os.stat('a').st_mtime_ns > before
                    """
                let said8 = try await Self.live(rig, &chain, [start, look, wait])
                #expect(said8 == ["", "True", "True"])
                #expect(chain.count == 3)
            }
        }

        @Test(
            "a workspace over a limit fails the turn, and says which",
            arguments: [
                ("open('x', 'wb').truncate(1 << 40)", "the workspace has more than 1048576 bytes in files"),
                (
                    "import os\nfor n in range(60): open(str(n), 'w')",
                    "the workspace has more than 50 files and directories"
                ),
                (
                    "import os\nopen('x', 'wb').write(os.urandom(100_000))",
                    "the workspace has more than 50000 bytes of compressed archive"
                ),
            ]
        )
        func limits(_ text: String, _ message: String) async throws {
            try await withRig { rig in
                let configuration = Self.configuration {
                    $0.limits.workspaceBytes = 1 << 20
                    $0.limits.workspaceEntries = 50
                    $0.limits.snapshotBytes = 50_000
                }
                let worker = try await rig.start(configuration)
                let result = await worker.perform(try Rig.turn(text))
                #expect(result.outcome.failure == .snapshotTooLarge)
                #expect(result.outcome.message == message)
                #expect(result.snapshot == nil && !result.workerIsUsable)
                Rig.drop(await worker.end())
                // Nothing of it is left for the next one.
                var chain: [Snapshot] = []
                let said9 = try await Self.live(rig, &chain, ["import os\nreply = os.listdir('.')"], configuration)
                #expect(said9 == ["[]"])
            }
        }

        @Test("of a workspace of many files what happened to them is archived, however it was done")
        func many() async throws {
            var chain: [Snapshot] = []
            let make = "import os\nfor n in range(400): open(str(n), 'w').write('x' * 5000)"
            let change = """
                import mmap, os
                with open("3", "r+b") as file:
                    with mmap.mmap(file.fileno(), 0) as memory: memory[4000:4003] = b"map"
                os.link("5", "../tmp/link")
                with open("../tmp/link", "a") as file: file.write("tail")
                os.truncate("7", 10)
                os.chmod("9", 0o600)
                os.rename("11", "new")
                """
            let look = """
                import os
                read = lambda name: open(name).read()
                reply = [
                    len(os.listdir(".")), read("3")[3999:4004], read("5")[4999:], len(read("7")),
                    oct(os.stat("9").st_mode & 0o777), os.path.exists("11"), len(read("new")), read("12") == "x" * 5000,
                ]
                """
            try await withRig { rig in
                // The second finds all of them to be left alone from there on, the third finds that they were.
                _ = try await Self.live(rig, &chain, [make, "", "", change])
            }
            #expect(chain.map(\.kind) == [.base, .delta, .delta, .delta])
            #expect(chain[2].body.count < 1_000 && chain[3].body.count < 20_000, "\(chain.map(\.body.count))")
            try await withRig { rig in
                let said = try await Self.live(rig, &chain, [look])
                #expect(said == ["[400, 'xmapx', 'xtail', 10, '0o600', False, 5000, True]"])
            }
        }

        @Test("what the worker puts in its workspace leads the gateway nowhere")
        func hostile() async throws {
            var chain: [Snapshot] = []
            let plant = """
                import os
                os.symlink("/etc/passwd", "passwd")
                os.symlink("/", "root")
                os.mkfifo("fifo")
                os.rename(os.environ["HOME"], os.environ["HOME"] + "-moved")
                os.symlink("/etc", os.environ["HOME"])
                """
            try await withRig { rig in
                try await Self.live(rig, &chain, [plant])
                let replies = try await Self.live(
                    rig,
                    &chain,
                    ["import os\nreply = (sorted(os.listdir('.')), os.path.islink(os.environ['HOME']))"]
                )
                // A link where a top directory was is not taken; the directory is made again.
                #expect(replies == ["(['passwd', 'root'], False)"])
                #expect(chain.allSatisfy { $0.body.count < 4_096 })
            }
        }

        @Test("a cancelled turn's files are not kept")
        func cancelled() async throws {
            try await withRig { rig in
                var chain: [Snapshot] = []
                try await Self.live(rig, &chain, [Self.remember])
                let worker = try await rig.start(Self.configuration(), chain: chain)
                let text = "\(Self.remember)\nimport time\ntime.sleep(30)"
                async let result = worker.perform(try Rig.turn(text), wantsBase: false)
                let log = "\(try Self.path(rig))/home/.agent/log"
                let isAtIt = try await eventually { FileManager.default.contents(atPath: log)?.count == 2 }
                #expect(isAtIt)
                worker.cancel()
                let outcome = try await result.outcome
                #expect(outcome.state == .cancelled)
                Rig.drop(await worker.end())
                let said10 = try await Self.live(rig, &chain, [Self.remember])
                #expect(said10 == ["xx"])
            }
        }

        @Test("snapshots of another kind are not taken for a workspace")
        func format() async throws {
            try await withRig { rig in
                let chain = [Snapshot(seq: 1, parent: 0, kind: .base, body: [1])]
                let error = await #expect(throws: WorkerError.self) {
                    try await rig.start(Self.configuration(), chain: chain)
                }
                #expect(error?.code == .snapshotFailed)
                let damaged = [Snapshot(seq: 1, parent: 0, kind: .base, format: .directory, body: [1, 2, 3])]
                let other = await #expect(throws: WorkerError.self) {
                    try await rig.start(Self.configuration(), chain: damaged)
                }
                #expect(other?.code == .snapshotFailed)
            }
        }
    }
}
