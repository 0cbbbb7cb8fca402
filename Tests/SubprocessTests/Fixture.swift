import Glibc
import Runtime
import Subprocess
import Testing

/// One spawner for all tests: its thread never ends, as in a real process.
enum Fixture {
    static let launcher: Result<String, any Error> = Result { try Spawner.findLauncher() }

    static let spawner: Result<Spawner, any Error> = Result {
        Spawner(
            launcher: try Self.launcher.get(),
            reactor: try Reactor(name: "children"),
            blocking: BlockingPool(threads: 1),
            log: .silent,
            metrics: Metrics()
        )
    }

    /// A command that runs `script` in a shell.
    static func shell(
        _ script: String,
        output: Command.OutputMode = .lines(maximumBytes: 65536),
        limits: ResourceLimits = ResourceLimits()
    ) -> Command {
        Command(
            executable: "/bin/sh",
            arguments: ["-c", script],
            environment: ["PATH": "/usr/local/bin:/usr/bin:/bin"],
            limits: limits,
            output: output
        )
    }

    /// A command that runs `program` in Python.
    static func python(_ program: String, output: Command.OutputMode = .lines(maximumBytes: 65536)) -> Command {
        var command = Self.shell("", output: output)
        command.executable = "/usr/bin/python3"
        command.arguments = ["-I", "-S", "-c", program]
        return command
    }

    /// Polls until `condition` holds; false after `limit`.
    static func eventually(within limit: Duration = .seconds(5), _ condition: () async -> Bool) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if await condition() { return true }
            usleep(1000)
        }
        return await condition()
    }

    /// The letter of a process's state; empty without one.
    static func state(_ pid: Int32) -> String {
        Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ").first.map(String.init) ?? ""
    }

    /// All living processes whose environment contains `mark`.
    static func processes(withEnvironment mark: String) -> [Int32] {
        Self.entries("/proc").compactMap { Int32($0) }.filter { pid in
            Self.text("/proc/\(pid)/environ").contains(mark) && pid != getpid()
        }
    }

    /// Lends the path of a script whose interpreter does not exist.
    static func withBrokenScript(_ body: (String) async throws -> Void) async throws {
        let path = "/tmp/subprocess-tests-\(getpid())-\(UInt32.random(in: .min ... .max))"
        let descriptor = try SystemError.check("open", open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o755))
        defer { unlink(path) }
        let text = Array("#!/no/such/interpreter\n".utf8)
        let count = text.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
        try #require(count == text.count)
        try await body(path)
    }

    /// Blocking calls of the tests.
    static let pool = BlockingPool(threads: 2)

    /// Whether a sanitizer slows everything down.
    static var isInstrumented: Bool {
        dlsym(UnsafeMutableRawPointer(bitPattern: 0), "__tsan_init") != nil
    }

    /// A measured figure, for the log of the run.
    static func note(_ text: String) {
        let bytes = Array("figure: \(text)\n".utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// The names in a directory.
    static func entries(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    /// The contents of a small file; empty when it cannot be read.
    static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : ""
    }

    static func isAlive(_ pid: Int32) -> Bool {
        let fields = Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        return !fields.isEmpty && fields[0] != "Z" && fields[0] != "X"
    }

    /// A word that marks the processes of one test.
    static func mark() -> String {
        "mark\(getpid())x\(UInt32.random(in: .min ... .max))"
    }
}

extension ChildProcess {
    /// The next line as text.
    func line() async throws -> String? {
        guard case .line(let bytes) = try await self.nextOutput() else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The next line as a number.
    func number() async throws -> Int32 {
        let text = try await self.line()
        return try #require(text.flatMap { Int32($0) })
    }

    /// Everything until the end of output.
    func rest() async throws -> [UInt8] {
        var all: [UInt8] = []
        while let output = try await self.nextOutput() {
            switch output {
            case .line(let line): all += line + [10]
            case .bytes(let bytes): all += bytes
            }
        }
        return all
    }

    func errorText() -> String {
        String(decoding: self.errorTail, as: UTF8.self)
    }
}

/// As `#expect(left == right)`, whose macro hides from a closure that it throws.
func expectEqual<Value: Equatable>(
    _ left: Value,
    _ right: Value,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(left == right, sourceLocation: sourceLocation)
}
