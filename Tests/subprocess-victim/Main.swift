import Foundation
import Glibc
import Runtime
import Subprocess

/// A process of its own for what a test must not do to its own process: being killed, running out of descriptors,
/// being measured. Usage: subprocess-victim <launcher> <mode> <arguments>. Prints its results as lines.
@main
struct Victim {
    let spawner: Spawner
    let arguments: [String]
    let signal: OneShot<Int32>

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3 else { exit(2) }
        let reactor = try Reactor(name: "victim")
        let signal = OneShot<Int32>()
        let watch = try Signals.watch([SIGTERM], on: reactor) { signal.resolve($0) }
        defer { watch.cancel() }
        let spawner = Spawner(launcher: arguments[1], reactor: reactor, blocking: nil, log: .silent, metrics: nil)
        let victim = Victim(spawner: spawner, arguments: Array(arguments.dropFirst(3)), signal: signal)
        try await victim.run(arguments[2])
    }

    private func run(_ mode: String) async throws {
        switch mode {
        case "hold": try await self.hold()
        case "starve": try await self.starve()
        case "cycles": try await self.cycles()
        case "crowd": try await self.crowd()
        case "wait": try await self.waitForMany()
        case "flood": try await self.flood()
        case "signals": try await self.signals()
        default: exit(2)
        }
    }

    /// hold <count> <script> <mark>: children that would outlive this process if they could.
    private func hold() async throws {
        var children: [ChildProcess] = []
        for _ in 0..<(Int(self.arguments[0]) ?? 0) {
            let child = try await self.spawner.start(
                Self.shell(self.arguments[1], environment: ["MARK": self.arguments[2]])
            )
            // Its first line says that all of its tree is up.
            _ = try await child.nextOutput()
            children.append(child)
        }
        Self.say("ready")
        for child in children { _ = await child.exit() }
    }

    /// Reports what a spawn says under the limit of open files that this process was given.
    private func starve() async throws {
        do {
            let status = try await self.spawner.withProcess(Self.shell("exit 0")) { await $0.exit() }
            Self.say(status.description)
        } catch let error as SubprocessError {
            Self.say(error.code.rawValue)
        }
    }

    /// cycles <count>: what 200 children, some of which fail to start, leave behind.
    private func cycles() async throws {
        let count = Int(self.arguments[0]) ?? 0
        try await self.cycle(20)
        let before = await Self.census()
        try await self.cycle(count)
        let after = await Self.census()
        Self.say("\(after.descriptors - before.descriptors) \(after.threads - before.threads) \(after.zombies)")
    }

    private func cycle(_ count: Int) async throws {
        for index in 0..<count {
            let command = index % 4 == 3 ? Self.command(self.arguments[1]) : Self.shell("echo hello; exit 0")
            do {
                try await self.spawner.withProcess(command) { child in
                    _ = try await child.nextOutput()
                }
            } catch let error as SubprocessError where error.code == .cannotExecute {
                continue
            }
        }
    }

    /// crowd <count>: spawns while many descriptors are open and many threads use the heap.
    private func crowd() async throws {
        _ = Signals.prepareProcess()
        for _ in 0..<(Int(self.arguments[0]) ?? 0) {
            guard open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 else { exit(3) }
        }
        let isOver = Locked(false)
        for _ in 0..<8 {
            Thread.detachNewThread {
                while !isOver.withLock({ $0 }) {
                    free(malloc(Int.random(in: 1...65536)))
                    usleep(10)
                }
            }
        }
        for _ in 0..<40 {
            _ = try await self.spawner.withProcess(Self.shell("exit 0")) { await $0.exit() }
        }
        isOver.withLock { $0 = true }
        Self.say("alive")
    }

    /// Processor time, in milliseconds, of waiting half a second for sixteen children.
    private func waitForMany() async throws {
        let spawner = self.spawner
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    _ = try await spawner.withProcess(Self.shell("exec sleep 0.5")) { await $0.exit() }
                }
            }
            try await group.waitForAll()
        }
        var usage = rusage()
        // 0 is RUSAGE_SELF, which Glibc imports under another type.
        getrusage(0, &usage)
        let time = (usage.ru_utime, usage.ru_stime)
        Self.say(String(time.0.tv_sec * 1000 + time.0.tv_usec / 1000 + time.1.tv_sec * 1000 + time.1.tv_usec / 1000))
    }

    /// flood <MiB>: by how many KiB a child grows us that writes lines of 2000 bytes, or one endless line, to nobody.
    private func flood() async throws {
        let bytes = (Int(self.arguments[0]) ?? 0) << 20
        _ = try await self.spawner.withProcess(Self.shell("exit 0")) { await $0.exit() }
        let before = Self.residentKiB()
        let lines = "yes $(head -c 2000 /dev/zero | tr '\\0' x) | head -c \(bytes)"
        try await self.spawner.withProcess(Self.shell(lines)) { child in
            try await Task.sleep(for: .milliseconds(300))
            var total = 0
            while case .line(let line) = try await child.nextOutput() { total += line.count + 1 }
            Self.say(total == bytes || total == bytes + 1 ? "complete" : "\(total) of \(bytes)")
        }
        let endless = Self.shell("head -c \(bytes) /dev/zero")
        try await self.spawner.withProcess(endless, teardown: .immediate) { child in
            do {
                while try await child.nextOutput() != nil {}
            } catch let error as SubprocessError {
                Self.say(error.code.rawValue)
            }
        }
        Self.say(String(Self.residentKiB() - before))
    }

    /// Sends itself a SIGTERM once there is a thread that spawns.
    private func signals() async throws {
        _ = try await self.spawner.withProcess(Self.shell("exit 0")) { await $0.exit() }
        kill(getpid(), SIGTERM)
        Self.say("seen \(await self.signal.value())")
    }

    // MARK: -

    private static func shell(_ script: String, environment: [String: String] = [:]) -> Command {
        Self.command("/bin/sh", ["-c", script], environment: environment)
    }

    private static func command(
        _ path: String,
        _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) -> Command {
        Command(
            executable: path,
            arguments: arguments,
            environment: environment.merging(["PATH": "/usr/bin:/bin"]) { left, _ in left }
        )
    }

    private static func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }

    private struct Census: Equatable {
        let descriptors: Int
        let threads: Int
        let zombies: Int
    }

    /// What this process holds once it has come to rest: Foundation collects the last child a moment after its exit.
    private static func census() async -> Census {
        var last = Self.count()
        for _ in 0..<100 {
            do { try await Task.sleep(for: .milliseconds(20)) } catch { break }
            let now = Self.count()
            if now == last, now.zombies == 0 { break }
            last = now
        }
        return last
    }

    private static func count() -> Census {
        let files = FileManager.default
        let entries = { (path: String) in (try? files.contentsOfDirectory(atPath: path)) ?? [] }
        let children = entries("/proc/self/task").flatMap { task in
            let text = try? String(contentsOfFile: "/proc/self/task/\(task)/children", encoding: .utf8)
            return (text ?? "").split(separator: " ")
        }
        return Census(
            descriptors: entries("/proc/self/fd").count,
            threads: entries("/proc/self/task").count,
            zombies: children.count
        )
    }

    private static func residentKiB() -> Int {
        var usage = rusage()
        // 0 is RUSAGE_SELF, which Glibc imports under another type.
        getrusage(0, &usage)
        return usage.ru_maxrss
    }
}
