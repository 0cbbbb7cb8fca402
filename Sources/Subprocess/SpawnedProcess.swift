internal import CRuntime
internal import CSubprocess
internal import Foundation
import Glibc
import Runtime

/// A launcher that was just spawned, and our ends of what connects us to it.
struct SpawnedProcess: Sendable {
    let pid: Int32
    /// nil when it had ended, and had been collected, before one could be had.
    let pidfd: Int32?
    let input: Int32
    let output: Int32
    let errors: Int32
    let process: Process

    /// How many free descriptors a spawn needs, with some left for everyone else.
    private static let headroom: Int32 = 32

    /// Spawns `launcher` with `arguments`. Blocks for about a millisecond; only for the spawn thread.
    init(launcher: String, arguments: [String], environment: [String: String]) throws(SubprocessError) {
        guard csp_descriptors_available(Self.headroom) == 0 else {
            let message = "fewer than \(Self.headroom) descriptors are free; raise the limit of open files (ulimit -n)"
            throw SubprocessError(.tooManyDescriptors, message, cause: SystemError.last("open"))
        }
        var pipes: [Pipe] = []
        do {
            for _ in 0..<3 { pipes.append(try Pipe()) }
            let process = Process()
            process.executableURL = URL(fileURLWithPath: launcher)
            process.arguments = arguments
            process.environment = environment
            process.standardInput = FileHandle(fileDescriptor: pipes[0].reading, closeOnDealloc: false)
            process.standardOutput = FileHandle(fileDescriptor: pipes[1].writing, closeOnDealloc: false)
            process.standardError = FileHandle(fileDescriptor: pipes[2].writing, closeOnDealloc: false)
            try process.run()
            self.process = process
        } catch {
            for pipe in pipes { pipe.close() }
            throw SubprocessError(.spawnFailed, "\(launcher) could not be spawned", cause: Self.reason(error))
        }
        for descriptor in [pipes[0].reading, pipes[1].writing, pipes[2].writing] { close(descriptor) }
        self.pid = self.process.processIdentifier
        let pidfd = crt_pidfd_open(self.pid)
        self.pidfd = pidfd < 0 ? nil : pidfd
        self.input = pipes[0].writing
        self.output = pipes[1].reading
        self.errors = pipes[2].reading
        for descriptor in [self.input, self.output, self.errors] { _ = crt_set_nonblocking(descriptor) }
    }

    /// The system's own words, where Foundation wraps them into a page of its own.
    private static func reason(_ error: any Error) -> any Error {
        let wrapped = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        guard let wrapped, wrapped.domain == NSPOSIXErrorDomain else { return error }
        return SystemError(call: "posix_spawn", number: Int32(truncatingIfNeeded: wrapped.code))
    }

    /// How it ended, once Foundation has collected it.
    func collectedStatus() -> ExitStatus? {
        guard !self.process.isRunning else { return nil }
        let status = self.process.terminationStatus
        return self.process.terminationReason == .uncaughtSignal ? .signalled(status) : .exited(status)
    }

    /// Lets go of what Foundation keeps, once it has collected the process; false before. Its object and the source by which
    /// a run loop would hear of the exit hold each other until somebody has waited for the exit, which is over at once then.
    /// Only for the spawn thread: whoever waits is given a run loop, with descriptors of its own.
    func letGo() -> Bool {
        guard !self.process.isRunning else { return false }
        self.process.waitUntilExit()
        return true
    }

    /// Both ends of a pipe, close-on-exec. Not Foundation's, whose ends are inherited by whatever is spawned meanwhile.
    private struct Pipe {
        let reading: Int32
        let writing: Int32

        init() throws(SystemError) {
            var ends: [Int32] = [-1, -1]
            try SystemError.check("pipe2", csp_pipe(&ends))
            self.reading = ends[0]
            self.writing = ends[1]
        }

        func close() {
            Glibc.close(self.reading)
            Glibc.close(self.writing)
        }
    }
}
