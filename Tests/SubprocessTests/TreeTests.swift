import Glibc
import Runtime
import Subprocess
import Testing

@Suite("The end of a tree", .serialized)
struct TreeTests {
    let spawner: Spawner

    init() throws {
        self.spawner = try Fixture.spawner.get()
    }

    @Test("a child that ignores SIGTERM is killed after its grace, with its grandchildren")
    func stubborn() async throws {
        let command = Fixture.shell("trap '' TERM; sleep 60 & echo $!; trap '' TERM; while :; do sleep 1; done")
        let child = try await self.spawner.start(command)
        let grandchild = try await child.number()
        let grace = Duration.milliseconds(100)
        let began = ContinuousClock.now
        let status = await child.end(Teardown(afterInput: grace, afterTerminate: grace))
        let time = ContinuousClock.now - began
        #expect(status == .signalled(SIGKILL))
        #expect(!Fixture.isAlive(grandchild))
        #expect(time >= grace * 2)
        #expect(time < grace * 2 + .seconds(1))
    }

    @Test("a frozen tree stands still, whatever has left its group, goes on when thawed, and ends when killed")
    func freezing() async throws {
        let program = """
            import os, time
            if os.fork() == 0:
                os.setsid()
            while True:
                os.write(1, b"%d\\n" % os.getpid())
                time.sleep(0.01)
            """
        let child = try await self.spawner.start(Fixture.python(program))
        var pids: Set<Int32> = []
        while pids.count < 2 { pids.insert(try await child.number()) }
        child.freeze()
        #expect(await Fixture.eventually { pids.allSatisfy { Fixture.state($0) == "T" } })
        child.thaw()
        #expect(await Fixture.eventually { pids.allSatisfy { Fixture.state($0) != "T" } })
        child.freeze()
        #expect(await child.end(.immediate) == .signalled(SIGKILL))
        #expect(!pids.contains(where: Fixture.isAlive))
    }

    @Test("the end of input is enough for a child that reads it, and nobody is signalled")
    func endOfInput() async throws {
        let child = try await self.spawner.start(Fixture.shell("trap 'echo asked' TERM; cat; exit 5"))
        #expect(await child.end() == .exited(5))
        #expect(try await child.nextOutput() == nil)
    }

    @Test("SIGTERM reaches the whole group and what left it")
    func terminate() async throws {
        let program = """
            import os, signal, sys, time
            def leave(*_):
                os.write(1, b"asked\\n")
                os._exit(0)
            signal.signal(signal.SIGTERM, leave)
            if os.fork() == 0:
                if os.fork() == 0:
                    os.setsid()
                    os.write(1, b"up\\n")
                    time.sleep(60)
                os._exit(0)
            os.wait()
            time.sleep(0.05)
            time.sleep(60)
            """
        let child = try await self.spawner.start(Fixture.python(program))
        #expect(try await child.line() == "up")
        let teardown = Teardown(steps: [.terminate(grace: .seconds(5))])
        // The program leaves at once, and its end is the end of all: the daemon may or may not get to its line.
        #expect(await child.end(teardown) == .exited(0))
        #expect(try await child.line() == "asked")
    }

    @Test("a double-forked daemon in a session of its own does not survive its parent's end")
    func daemon() async throws {
        let mark = Fixture.mark()
        var command = Fixture.shell("(setsid sh -c 'echo $$; sleep 60 & sleep 60' &) ; sleep 0.2; exit 7")
        command.environment["MARK"] = mark
        try await self.spawner.withProcess(command) { child in
            let daemon = try await child.number()
            #expect(Fixture.isAlive(daemon))
            expectEqual(await child.exit(), .exited(7))
            #expect(!Fixture.isAlive(daemon))
            #expect(Fixture.processes(withEnvironment: mark).isEmpty)
        }
    }

    @Test("several callers of end share one teardown")
    func sharedEnd() async throws {
        let child = try await self.spawner.start(Fixture.shell("trap '' TERM; echo up; while :; do sleep 1; done"))
        #expect(try await child.line() == "up")
        let teardown = Teardown(steps: [.terminate(grace: .milliseconds(50))])
        let statuses = await withTaskGroup(of: Subprocess.ExitStatus.self) { group in
            for _ in 0..<5 { group.addTask { await child.end(teardown) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses == [Subprocess.ExitStatus](repeating: .signalled(SIGKILL), count: 5))
        #expect(await child.end() == .signalled(SIGKILL))
    }

    @Test("a body that throws ends the tree before the error arrives")
    func throwingBody() async throws {
        struct Refusal: Error {}
        let pid = Locked<Int32>(0)
        await #expect(throws: Refusal.self) {
            try await self.spawner.withProcess(Fixture.shell("echo $$; sleep 60"), teardown: .immediate) { child in
                let number = try await child.number()
                pid.withLock { $0 = number }
                throw Refusal()
            }
        }
        #expect(!Fixture.isAlive(pid.withLock { $0 }))
    }

    @Test("the program does not outlive a launcher that somebody killed")
    func killedLauncher() async throws {
        let child = try await self.spawner.start(Fixture.shell("echo $$; exec sleep 60"))
        let program = try await child.number()
        kill(child.pid, SIGKILL)
        #expect(await child.end() == .signalled(SIGKILL))
        #expect(await Fixture.eventually { !Fixture.isAlive(program) })
    }

    @Test("exit is seen at once although another process holds the pipe, and the output ends soon after")
    func heldPipe() async throws {
        try await self.spawner.withProcess(Fixture.shell("echo $$; read line; echo last; exit 3")) { child in
            let program = try await child.number()
            // Outside the tree, so nothing but time will end it.
            let held = open("/proc/\(program)/fd/1", O_WRONLY | O_CLOEXEC)
            #expect(held >= 0)
            defer { close(held) }
            let began = ContinuousClock.now
            try await child.write(Array("go\n".utf8))
            expectEqual(await child.exit(), .exited(3))
            #expect(ContinuousClock.now - began < .milliseconds(150))
            expectEqual(try await child.line(), "last")
            expectEqual(try await child.nextOutput(), nil)
            #expect(ContinuousClock.now - began > .milliseconds(190))
            #expect(ContinuousClock.now - began < .seconds(2))
        }
    }

    @Test("a child that closes all descriptors does not delay the exit of others")
    func closedDescriptors() async throws {
        let loner = try await self.spawner.start(
            Fixture.python("import os, time\nprint('up', flush=True)\nos.closerange(0, 1024)\ntime.sleep(60)")
        )
        #expect(try await loner.line() == "up")
        let began = ContinuousClock.now
        let status = try await self.spawner.withProcess(Fixture.shell("exit 0")) { await $0.exit() }
        #expect(status == .exited(0))
        #expect(ContinuousClock.now - began < .seconds(1))
        #expect(loner.exitStatus == nil)
        await loner.end(.immediate)
    }

    @Test("children live on when the threads that asked for them have ended")
    func threadsEnd() async throws {
        // Idle threads of the pools are given up after five seconds; a parent-death signal bound to one would come then.
        var children: [ChildProcess] = []
        for _ in 0..<4 { children.append(try await self.spawner.start(Fixture.shell("sleep 60"))) }
        try await Task.sleep(for: .seconds(6))
        for child in children {
            #expect(child.exitStatus == nil)
            await child.end(.immediate)
        }
    }
}
