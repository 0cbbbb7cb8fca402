import Glibc
import Runtime
import Subprocess
import Testing

@Suite("Input and output", .serialized)
struct InputOutputTests {
    let spawner: Spawner

    init() throws {
        self.spawner = try Fixture.spawner.get()
    }

    @Test("lines go in and come out")
    func echo() async throws {
        let status = try await self.spawner.withProcess(Fixture.shell("cat")) { child in
            try await child.write(Array("one\ntwo\n\nunfinished".utf8))
            expectEqual(try await child.line(), "one")
            expectEqual(try await child.line(), "two")
            expectEqual(try await child.line()?.isEmpty, true)
            await child.closeInput()
            expectEqual(try await child.line(), "unfinished")
            expectEqual(try await child.nextOutput(), nil)
            return await child.exit()
        }
        #expect(status == .exited(0))
    }

    @Test("output of a child that exits at once is complete, fifty times out of fifty")
    func completeOutput() async throws {
        for _ in 0..<50 {
            let command = Fixture.shell("head -c 60000 /dev/zero", output: .bytes)
            let count = try await self.spawner.withProcess(command) { try await $0.rest().count }
            #expect(count == 60000)
        }
    }

    @Test("output of a child that has exited is complete for a reader that comes late")
    func lateReader() async throws {
        let command = Fixture.shell("head -c 60000 /dev/zero", output: .bytes)
        try await self.spawner.withProcess(command) { child in
            _ = await child.exit()
            expectEqual(try await child.rest().count, 60000)
        }
    }

    @Test("a line over the cap fails, again and again")
    func longLine() async throws {
        let command = Fixture.shell("echo short; head -c 100000000 /dev/zero", output: .lines(maximumBytes: 1000))
        try await self.spawner.withProcess(command, teardown: .immediate) { child in
            expectEqual(try await child.line(), "short")
            for _ in 0..<2 {
                let error = await #expect(throws: SubprocessError.self) { try await child.nextOutput() }
                #expect(error?.code == .lineTooLong)
            }
        }
    }

    @Test("a line of exactly the cap passes, with and without its newline")
    func longestLine() async throws {
        let command = Fixture.shell("printf '12345\\n12345'", output: .lines(maximumBytes: 5))
        try await self.spawner.withProcess(command) { child in
            expectEqual(try await child.line(), "12345")
            expectEqual(try await child.line(), "12345")
            expectEqual(try await child.nextOutput(), nil)
        }
    }

    @Test("a child that nobody reads waits in its pipe, and its output is complete when somebody does")
    func unread() async throws {
        let size = 20 << 20
        let command = Fixture.shell("head -c \(size) /dev/zero", output: .bytes)
        try await self.spawner.withProcess(command) { child in
            let exited = await Fixture.eventually(within: .milliseconds(300)) { child.exitStatus != nil }
            #expect(!exited)
            var count = 0
            while case .bytes(let bytes) = try await child.nextOutput() {
                #expect(bytes.count <= 512 << 10)
                count += bytes.count
            }
            #expect(count == size)
            expectEqual(await child.exit(), .exited(0))
        }
    }

    @Test("standard error is always drained and its last 64 KiB are kept")
    func errorTail() async throws {
        let command = Fixture.shell("head -c 5000000 /dev/zero >&2; printf 'last words' >&2; echo done")
        try await self.spawner.withProcess(command) { child in
            expectEqual(try await child.line(), "done")
            _ = await child.exit()
            let tail = await child.errorTail
            #expect(tail.count == 65536)
            #expect(tail.suffix(10).elementsEqual("last words".utf8))
        }
    }

    @Test("a write to a child that left throws and the process lives")
    func brokenPipe() async throws {
        try await self.spawner.withProcess(Fixture.shell("exit 0")) { child in
            _ = await child.exit()
            let error = await #expect(throws: SubprocessError.self) { try await child.write([1, 2, 3]) }
            #expect(error?.code == .inputClosed)
        }
        try await self.spawner.withProcess(Fixture.shell("exec <&-; echo closed; sleep 60")) { child in
            expectEqual(try await child.line(), "closed")
            // The launcher lets go of the pipe a moment after the program runs.
            let threw = await Fixture.eventually {
                do { try await child.write([1, 2, 3]) } catch { return true }
                return false
            }
            #expect(threw)
            child.kill()
        }
    }

    @Test("a write to a child that does not read waits, and ends when the child does")
    func fullPipe() async throws {
        try await self.spawner.withProcess(Fixture.shell("sleep 60")) { child in
            let state = Locked(false)
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: SubprocessError.self) {
                        try await child.write([UInt8](repeating: 0, count: 1 << 20))
                    }
                    state.withLock { $0 = true }
                }
                let returned = await Fixture.eventually(within: .milliseconds(100)) { state.withLock { $0 } }
                #expect(!returned)
                child.kill()
            }
        }
    }

    @Test("a large write arrives whole when the child reads late")
    func largeWrite() async throws {
        try await self.spawner.withProcess(Fixture.shell("sleep 0.1; wc -c")) { child in
            try await child.write([UInt8](repeating: 65, count: 3_000_000))
            await child.closeInput()
            expectEqual(try await child.line()?.trimmed, "3000000")
        }
    }

    @Test("a cancelled reader stops waiting and the tree goes with its task")
    func cancelledReader() async throws {
        let mark = Fixture.mark()
        var command = Fixture.shell("sleep 60 & sleep 60")
        command.environment["MARK"] = mark
        let started = OneShot<Void>()
        // Awaited below.
        let task = Task { [spawner, command] in
            try await spawner.withProcess(command, teardown: .immediate) { child in
                started.resolve(())
                _ = try await child.nextOutput()
            }
        }
        await started.value()
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(Fixture.processes(withEnvironment: mark).isEmpty)
    }

    @Test("waiting for the exit in a cancelled task ends, because the teardown has begun")
    func cancelledExit() async throws {
        let started = OneShot<Void>()
        // Awaited below.
        let task = Task { [spawner] in
            try await spawner.withProcess(Fixture.shell("sleep 60"), teardown: .immediate) { child in
                started.resolve(())
                return await child.exit()
            }
        }
        await started.value()
        task.cancel()
        expectEqual(try await task.value, .signalled(SIGKILL))
    }
}

extension String {
    var trimmed: String { String(self.filter { !$0.isWhitespace }) }
}
