package import Glibc
internal import Runtime

/// A process of a test's own, with its output in a file. The kernel kills it when this process ends.
package struct Spawned: Sendable {
    /// Its number.
    package let pid: pid_t
    /// Where its standard output and error go.
    package let output: String

    /// The kernel sends the parent-death signal when the thread that spawned ends; this one never does.
    private static let spawner = BlockingPool(threads: 1)

    /// Starts `words[0]`, an absolute path, with exactly this environment.
    package static func start(_ words: [String], environment: [String: String], output: String) async throws -> Spawned
    {
        /// Its number.
        let pid = try await self.spawner.run {
            try self.spawn(["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] + words, environment, output)
        }
        return Spawned(pid: pid, output: output)
    }

    private static func spawn(_ words: [String], _ environment: [String: String], _ output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // The spawning thread blocks every signal; the process must not begin so.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var arguments = words.map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw SystemError(call: "posix_spawn", number: code) }
        return pid
    }

    /// Whether it is a zombie or gone.
    package var hasEnded: Bool {
        let state = TextFile.read("/proc/\(self.pid)/stat").split(separator: ")").last?.split(separator: " ").first
        return state == nil || state == "Z"
    }

    /// Sends it a signal.
    package func signal(_ number: Int32) {
        kill(self.pid, number)
    }

    /// Waits for its end: the exit code, or 128 and the signal's number. Throws `NotInTime`.
    @discardableResult
    package func end(within limit: Duration) async throws -> Int32 {
        var status: Int32 = 0
        try await eventually("the end of process \(self.pid)", within: limit) {
            waitpid(self.pid, &status, WNOHANG) == self.pid
        }
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
    }

    /// What it has written so far.
    package var text: String { TextFile.read(self.output) }
}
