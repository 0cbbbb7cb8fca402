import Foundation
import Glibc
import Runtime
import Subprocess
import Testing

@Suite("A sandbox", .serialized)
struct SandboxTests {
    /// A user that nothing else runs as.
    private static let stranger: UInt32 = 61_001

    /// Lends a spawner and a directory that everybody may enter and write to, and where the launcher is, too: the one of
    /// the build may be in a home that only root can enter.
    private func withFolder(_ body: (Spawner, String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sandbox-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer {
            do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record(error) }
        }
        let launcher = "\(folder)/launcher"
        try FileManager.default.copyItem(atPath: try Spawner.findLauncher(), toPath: launcher)
        let reactor = try Reactor(name: "sandbox")
        let spawner = Spawner(launcher: launcher, reactor: reactor, blocking: nil, log: .silent, metrics: nil)
        for path in [folder, launcher] { chmod(path, 0o777) }
        try await body(spawner, folder)
        reactor.stop()
    }

    private func command(_ program: String, in folder: String, limits: ResourceLimits = ResourceLimits()) -> Command {
        var command = Fixture.python(program)
        command.directory = folder
        command.limits = limits
        command.sandbox = Sandbox(writable: folder, temporary: folder)
        return command
    }

    @Test(
        "exit codes come through, and a death by a signal as a shell would say it",
        arguments: [(0, 0), (7, 7), (-9, 137)]
    )
    func status(code: Int, seen: Int) async throws {
        try await self.withFolder { spawner, folder in
            let program = code < 0 ? "import os; os.kill(os.getpid(), \(-code))" : "raise SystemExit(\(code))"
            let child = try await spawner.start(self.command(program, in: folder))
            #expect(await child.exit() == .exited(Int32(seen)))
            await child.end(.immediate)
        }
    }

    @Test("SIGTERM reaches the program and leaves it its grace, and nothing that it left behind survives it")
    func stop() async throws {
        try await self.withFolder { spawner, folder in
            let program = """
                import os, signal, time
                def leave(*_):
                    time.sleep(0.1)
                    os.write(1, b"bye\\n")
                    os._exit(5)
                signal.signal(signal.SIGTERM, leave)
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        time.sleep(60)
                    os._exit(0)
                os.write(1, b"up\\n")
                time.sleep(60)
                """
            let child = try await spawner.start(self.command(program, in: folder))
            #expect(try await child.line() == "up")
            #expect(child.resourceUsage().residentBytes > 1 << 20)
            let status = await child.end(Teardown(steps: [.terminate(grace: .seconds(5))]))
            #expect(status == .exited(5))
            #expect(try await child.line() == "bye")
            #expect(Fixture.processes(withArgument: folder).isEmpty)
        }
    }

    @Test("it dies with its launcher, and at once when it is killed", arguments: [true, false])
    func kill(launcher: Bool) async throws {
        try await self.withFolder { spawner, folder in
            let program =
                "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
            let child = try await spawner.start(self.command(program, in: folder))
            #expect(try await child.line() == "1")
            #expect(!Fixture.processes(withArgument: folder).isEmpty)
            if launcher { Glibc.kill(child.pid, SIGKILL) } else { child.kill() }
            #expect(await Fixture.eventually { Fixture.processes(withArgument: folder).isEmpty })
            await child.end(.immediate)
        }
    }

    @Test(
        "a fork bomb of an unprivileged user meets its bound, which counts the sandbox alone",
        .enabled(if: geteuid() == 0)
    )
    func forkBomb() async throws {
        try await self.withFolder { spawner, folder in
            let program = """
                import os, time
                made = 0
                try:
                    while made < 1000:
                        if os.fork() == 0:
                            time.sleep(60)
                        made += 1
                except BlockingIOError:
                    print(os.getuid(), made, flush=True)
                """
            for _ in 0..<2 {
                var command = self.command(program, in: folder, limits: ResourceLimits(processes: 20))
                command.user = (uid: Self.stranger, gid: Self.stranger)
                let child = try await spawner.start(command)
                let line = try await child.line()?.split(separator: " ").compactMap { Int($0) } ?? []
                let errors = String(decoding: await child.errorTail, as: UTF8.self)
                try #require(line.count == 2, "\(errors)")
                #expect(line[0] == Int(Self.stranger))
                #expect((10...20).contains(line[1]))
                await child.end(.immediate)
                #expect(Fixture.processes(withArgument: folder).isEmpty)
            }
        }
    }
}

extension Fixture {
    /// All living processes that have `text` in their command line, such as a sandbox that may write to a directory.
    static func processes(withArgument text: String) -> [Int32] {
        Self.entries("/proc").compactMap { Int32($0) }.filter { pid in
            Self.text("/proc/\(pid)/cmdline").contains(text) && pid != getpid()
        }
    }
}
