import CSubprocess
import Glibc
import Runtime
import Subprocess
import Testing

@Suite("What a child starts with", .serialized)
struct SpawnTests {
    let spawner: Spawner

    init() throws {
        self.spawner = try Fixture.spawner.get()
    }

    /// The output of `script` as text.
    private func output(_ script: String, limits: ResourceLimits = ResourceLimits()) async throws -> String {
        let bytes = try await self.spawner.withProcess(Fixture.shell(script, limits: limits)) { try await $0.rest() }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("a child of a task can be terminated because its signal mask is empty")
    func signalMask() async throws {
        #expect(try await self.output("grep SigBlk /proc/self/status") == "SigBlk:\t0000000000000000\n")
        let child = try await self.spawner.start(Fixture.shell("echo up; exec sleep 60"))
        #expect(try await child.line() == "up")
        let status = await child.end(Teardown(steps: [.terminate(grace: .seconds(5))]))
        #expect(status == .signalled(SIGTERM))
    }

    @Test("a child ignores no signal although this process ignores SIGPIPE")
    func signalDispositions() async throws {
        var action = sigaction()
        sigaction(SIGPIPE, nil, &action)
        // SIG_IGN is the address 1.
        #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1)
        #expect(try await self.output("grep SigIgn /proc/self/status") == "SigIgn:\t0000000000000000\n")
    }

    @Test("no descriptor but 0, 1 and 2 is in any of 64 children that start at once")
    func descriptors() async throws {
        let spawner = self.spawner
        let inherited = Locked<[[String]]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<64 {
                group.addTask {
                    let command = Fixture.shell("echo $$; read line")
                    try await spawner.withProcess(command) { child in
                        let program = try await child.number()
                        let names = Fixture.entries("/proc/\(program)/fd").sorted()
                        inherited.withLock { $0.append(names) }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(inherited.withLock { $0 } == [[String]](repeating: ["0", "1", "2"], count: 64))
    }

    @Test("the environment is exactly what was given")
    func environment() async throws {
        setenv("SUBPROCESS_TEST_SECRET", "secret", 1)
        defer { unsetenv("SUBPROCESS_TEST_SECRET") }
        var command = Fixture.shell("")
        command.executable = "/usr/bin/env"
        command.arguments = []
        command.environment = ["ONE": "1", "TWO": "a=b c\n"]
        let bytes = try await self.spawner.withProcess(command) { try await $0.rest() }
        #expect(Set(String(decoding: bytes, as: UTF8.self).split(separator: "\n")) == ["ONE=1", "TWO=a=b c"])
    }

    @Test("a program without a slash is searched in the PATH it is given, and runs in its directory")
    func search() async throws {
        var command = Fixture.shell("")
        command.executable = "pwd"
        command.arguments = ["-P"]
        command.directory = "/usr/lib"
        #expect(try await self.spawner.withProcess(command) { try await $0.line() } == "/usr/lib")
    }

    @Test("limits hold in the child and not in the launcher")
    func limits() async throws {
        let limits = ResourceLimits(
            openFiles: 64,
            processes: 5000,
            addressSpaceBytes: 1 << 30,
            fileSizeBytes: 1 << 20,
            cpuSeconds: 7
        )
        let text = try await self.output("cat /proc/self/limits; echo; cat /proc/$PPID/limits", limits: limits)
        let halves = text.split(separator: "\n\n").map { half in
            half.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        }
        try #require(halves.count == 2)
        for (words, value) in [
            (["Max", "open", "files"], "64"), (["Max", "processes"], "5000"),
            (["Max", "address", "space"], "1073741824"),
            (["Max", "file", "size"], "1048576"), (["Max", "cpu", "time"], "7"),
            (["Max", "core", "file", "size"], "0"),
        ] {
            let line = try #require(halves[0].first { $0.starts(with: words) })
            #expect(Array(line[words.count..<(words.count + 2)]) == [value, value])
        }
        #expect(!halves[1].contains(["Max", "open", "files", "64", "64", "files"]))
    }

    @Test("privileges are given up for good and a user is taken", .enabled(if: getuid() == 0))
    func user() async throws {
        var command = Fixture.shell("id -u; id -g; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status; sleep 60")
        command.user = (65534, 65534)
        try await self.spawner.withProcess(command, teardown: .immediate) { child in
            for expected in ["65534", "65534", "65534", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
                expectEqual(try await child.line(), expected)
            }
        }
    }

    @Test("the launcher is the direct child and leads a group that its program is not in")
    func group() async throws {
        let command = Fixture.shell("echo $PPID; echo $$; ps -o pgid= -p $$; read line")
        try await self.spawner.withProcess(command) { child in
            expectEqual(try await child.number(), child.pid)
            let program = try await child.line()
            expectEqual(try await child.line()?.trimmed, program)
            let fields = Fixture.text("/proc/\(child.pid)/stat").split(separator: " ")
            #expect(fields.count > 3 && fields[3] == "\(getpid())")
        }
    }

    @Test("exit codes and signals pass through the launcher unchanged", arguments: [0, 1, 77, 126, 127, 255])
    func exitCode(code: Int32) async throws {
        let status = try await self.spawner.withProcess(Fixture.shell("exit \(code)")) { await $0.exit() }
        #expect(status == .exited(code))
    }

    @Test("a crash is seen as the signal that it was", arguments: [SIGSEGV, SIGABRT, SIGTERM, SIGKILL, SIGUSR1])
    func crash(signal: Int32) async throws {
        let status = try await self.spawner.withProcess(Fixture.shell("kill -\(signal) $$")) { await $0.exit() }
        #expect(status == .signalled(signal))
    }

    @Test("a missing program is a clear error before any spawn")
    func missing() async throws {
        for name in ["/no/such/program", "no-such-program", "/etc/passwd", "/etc", "./nothing"] {
            var command = Fixture.shell("")
            command.executable = name
            let error = await #expect(throws: SubprocessError.self) { _ = try await self.spawner.start(command) }
            #expect(error?.code == .executableMissing)
            #expect(error?.message.contains(name) == true)
        }
    }

    @Test("a command that no process can be given is refused")
    func invalid() async throws {
        var commands = [Command](repeating: Fixture.shell("true"), count: 5)
        commands[0].arguments = ["a\0b"]
        commands[1].environment["A=B"] = "c"
        commands[2].directory = "relative"
        commands[3].limits.openFiles = -1
        commands[4].executable = ""
        for command in commands {
            let error = await #expect(throws: SubprocessError.self) { _ = try await self.spawner.start(command) }
            #expect(error?.code == .invalidCommand)
        }
    }

    @Test("a program that the kernel refuses is a start failure, not an exit of its own")
    func refused() async throws {
        var commands = [Command](repeating: Fixture.shell("true"), count: 2)
        commands[0].directory = "/no/such/directory"
        try await Fixture.withBrokenScript { script in
            commands[1].executable = script
            for command in commands {
                let error = await #expect(throws: SubprocessError.self) {
                    try await self.spawner.withProcess(command) { _ = try await $0.nextOutput() }
                }
                #expect(error?.code == .cannotExecute)
                #expect(error?.message.contains("No such file or directory") == true)
            }
        }
        let own = Fixture.shell("echo 'cannot execute' >&2; exit 127")
        let status = try await self.spawner.withProcess(own) { await $0.exit() }
        #expect(status == .exited(127))
    }

    @Test("Foundation lists descriptors through the guarded readdir")
    func guardedReaddir() throws {
        #expect(csp_readdir_is_guarded() == 1)
        // Whether an over-read crashes depends on the heap. That no entry lies in the heap at all does not: those of
        // procfs share one roomy copy, all others are where the C library put them.
        #expect(try Self.distinctEntries("/proc/self/fd") == 1)
        #expect(try Self.distinctEntries("/usr") > 1)
    }

    private static func distinctEntries(_ path: String) throws -> Int {
        let directory = try #require(opendir(path))
        defer { closedir(directory) }
        var places: Set<UnsafeMutablePointer<dirent>> = []
        while let entry = readdir(directory) { places.insert(entry) }
        return places.count
    }

    @Test("a callback gets the exit, before and after it happened")
    func callback() async throws {
        let child = try await self.spawner.start(Fixture.shell("read line; exit 4"))
        let first = OneShot<Subprocess.ExitStatus>()
        child.whenExited { first.resolve($0) }
        await child.end()
        #expect(await first.value() == .exited(4))
        let second = OneShot<Subprocess.ExitStatus>()
        child.whenExited { second.resolve($0) }
        #expect(await second.value() == .exited(4))
        #expect(child.exitStatus == .exited(4))
    }

    @Test("the resources of the whole tree are counted")
    func usage() async throws {
        let program =
            "import os\nos.fork()\nblock = bytearray(30 << 20)\nsum(range(3000000))\nprint('up', flush=True)\ninput()"
        let child = try await self.spawner.start(Fixture.python(program))
        for _ in 0..<2 { #expect(try await child.line() == "up") }
        let usage = child.resourceUsage()
        #expect(usage.residentBytes > 60 << 20)
        #expect(usage.cpuSeconds > 0)
        await child.end(.immediate)
        #expect(child.resourceUsage().residentBytes == 0)
    }

    @Test("spawning and exit detection take a few milliseconds")
    func speed() async throws {
        var spawns: [Duration] = []
        var lines: [Duration] = []
        var exits: [Duration] = []
        for _ in 0..<100 {
            let began = ContinuousClock.now
            let child = try await self.spawner.start(Fixture.shell("echo up; read line"))
            spawns.append(ContinuousClock.now - began)
            _ = try await child.line()
            lines.append(ContinuousClock.now - began)
            let killed = ContinuousClock.now
            child.kill()
            _ = await child.exit()
            exits.append(ContinuousClock.now - killed)
            await child.end()
        }
        let middle = { (times: [Duration]) in times.sorted()[times.count / 2] }
        Fixture.note("spawn p50 \(middle(spawns)), to first line \(middle(lines)), kill to exit \(middle(exits))")
        #expect(middle(lines) < .milliseconds(Fixture.isInstrumented ? 500 : 50))
        #expect(middle(exits) < .milliseconds(Fixture.isInstrumented ? 500 : 50))
    }
}
