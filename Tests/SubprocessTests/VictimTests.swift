import CRuntime
import Glibc
import Runtime
import Subprocess
import Testing

/// Tests that need a process of their own, `subprocess-victim`. It is spawned without our launcher, which would tidy up
/// behind it.
@Suite("A process and its children", .serialized)
struct VictimTests {
    /// A child of a child, in a session of its own, forked twice, that ignores what can be ignored.
    static let hiddenTree = """
        trap '' TERM HUP INT
        python3 -I -S -c '
        import os, signal, time
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1): signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 256)
                time.sleep(60)
            os._exit(0)
        os.wait()
        print("up", flush=True)
        time.sleep(60)'
        """

    @Test("nothing survives kill -9 of the supervising process, and it is gone within 100 ms", arguments: [1, 8])
    func killNine(children: Int) async throws {
        // The best of three: what is measured is the mechanism, not what else the machine does.
        let limit = Duration.milliseconds(Fixture.isInstrumented ? 1000 : 100)
        var times: [Duration] = []
        while times.count < 3, times.min().map({ $0 > limit }) ?? true {
            times.append(try await self.timeOfKillNine(children: children))
        }
        let best = try #require(times.min())
        #expect(best < limit)
        Fixture.note("kill -9 of a process with \(children) trees of 4: nothing left after \(best)")
    }

    private func timeOfKillNine(children: Int) async throws -> Duration {
        let mark = Fixture.mark()
        let victim = try Victim(["hold", String(children), Self.hiddenTree, mark])
        #expect(try await victim.line() == "ready")
        // For each child a launcher, a shell, its Python and the hidden one.
        #expect(Fixture.processes(withEnvironment: mark).count == 4 * children)
        let began = ContinuousClock.now
        kill(victim.pid, SIGKILL)
        let gone = await Fixture.eventually { Fixture.processes(withEnvironment: mark).isEmpty }
        #expect(gone)
        victim.collect()
        return ContinuousClock.now - began
    }

    @Test("1,600 open descriptors do not crash a spawn")
    func crowd() async throws {
        let victim = try Victim(["crowd", "1600"])
        #expect(try await victim.line() == "alive")
        #expect(victim.collect() == 0)
    }

    @Test("a spawn without enough free descriptors is refused with a clear error")
    func starve() async throws {
        let victim = try Victim(["starve"], openFiles: 24)
        #expect(try await victim.line() == "tooManyDescriptors")
        #expect(victim.collect() == 0)
    }

    @Test("200 children leave no descriptor, no thread and no zombie behind, nor do 50 failed starts among them")
    func cycles() async throws {
        try await Fixture.withBrokenScript { script in
            let victim = try Victim(["cycles", "200", script])
            expectEqual(try await victim.line(), "0 0 0")
            #expect(victim.collect() == 0)
        }
    }

    @Test("waiting for sixteen children costs no processor time to speak of")
    func waiting() async throws {
        let victim = try Victim(["wait"])
        let milliseconds = try #require(Int(try await victim.line()))
        #expect(milliseconds < (Fixture.isInstrumented ? 2000 : 200))
        #expect(victim.collect() == 0)
    }

    @Test("a process that listens for SIGTERM still hears it once it has spawned")
    func signals() async throws {
        let victim = try Victim(["signals"])
        #expect(try await victim.line() == "seen \(SIGTERM)")
        #expect(victim.collect() == 0)
    }

    @Test("a flood of 100 MiB is bounded while nobody reads, and so is an endless line")
    func flood() async throws {
        let victim = try Victim(["flood", "100"])
        #expect(try await victim.line() == "complete")
        #expect(try await victim.line() == "lineTooLong")
        let growth = try #require(Int(try await victim.line()))
        #expect(growth < (Fixture.isInstrumented ? 64 : 8) << 10)
        #expect(victim.collect() == 0)
    }
}

/// A running `subprocess-victim`.
final class Victim: Sendable {
    let pid: Int32
    private let output: Int32

    /// Starts it with `arguments` after the launcher; `openFiles` is its limit of descriptors.
    init(_ arguments: [String], openFiles: Int = 4096) throws {
        let launcher = try Fixture.launcher.get()
        let program = launcher.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/subprocess-victim"
        var ends: [Int32] = [-1, -1]
        try SystemError.check("pipe2", crt_pipe(&ends))
        let script = "ulimit -n \(openFiles); exec \"$@\""
        let words = ["/bin/sh", "-c", script, "sh", program, launcher] + arguments
        self.output = ends[0]
        self.pid = try Self.spawn(words, output: ends[1])
        close(ends[1])
    }

    private static func spawn(_ words: [String], output: Int32) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        // The threads that run tests block signals, and a child inherits that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: Int32 = 0
        let code = posix_spawn(&pid, words[0], &actions, &attributes, &arguments, environ)
        guard code == 0 else { throw SystemError(call: "posix_spawn", number: code) }
        return pid
    }

    /// Its next line, read byte by byte; what was there at the end of its output or after half a minute of silence.
    func line() async throws -> String {
        try await Fixture.pool.run { [output] in
            var line: [UInt8] = []
            var byte: UInt8 = 0
            var poller = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            while poll(&poller, 1, 30_000) == 1, read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
                line.append(byte)
            }
            return String(decoding: line, as: UTF8.self)
        }
    }

    /// Waits for it, and kills it if it takes over ten seconds; its raw wait status, 0 for success.
    @discardableResult
    func collect() -> Int32 {
        defer { close(self.output) }
        var status: Int32 = -1
        let deadline = ContinuousClock.now + .seconds(10)
        while waitpid(self.pid, &status, WNOHANG) == 0 {
            if ContinuousClock.now > deadline { kill(self.pid, SIGKILL) }
            usleep(1000)
        }
        return status
    }
}
