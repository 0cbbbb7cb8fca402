import Foundation
import Glibc
import Runtime
import Testing

@testable import turnpike

/// The program itself, from the build directory, with a PostgreSQL of its own in a scratch folder.
@Suite("turnpike dev", .serialized)
struct DevTests {
    private let folder = FileManager.default.temporaryDirectory.path + "/turnpike-dev-" + UUID().uuidString.lowercased()
    private let program = FileManager.default.currentDirectoryPath + "/.build/debug/turnpike"

    private func start(_ words: [String], output: String) throws -> Process {
        try Data().write(to: URL(fileURLWithPath: output))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: self.program)
        process.arguments = words
        process.environment = ["PATH": "/usr/local/bin:/usr/bin:/bin"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
        process.standardError = process.standardOutput
        try process.run()
        return process
    }

    /// Polls `condition`, at most for `seconds`; returns whether it came true.
    private func eventually(within seconds: Int, _ condition: () -> Bool) async throws -> Bool {
        for _ in 0..<(seconds * 20) {
            if condition() { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        return condition()
    }

    private func run(_ words: [String], name: String) async throws -> (code: Int32, output: String) {
        let output = self.folder + "/" + name
        let process = try self.start(words + ["--data", self.folder + "/data"], output: output)
        guard try await self.eventually(within: 30, { !process.isRunning }) else {
            process.terminate()
            throw CommandFailure(.failure, "\(words) does not end")
        }
        return (process.terminationStatus, try CommandContext.read(output))
    }

    @Test("leads from nothing to a reply, finds its folder again on the next run, and stops cleanly")
    func firstSteps() async throws {
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        var tokens: [String?] = []
        for round in 1...2 {
            let output = self.folder + "/dev-\(round)"
            let dev = try self.start(["dev", "--data", self.folder + "/data"], output: output)
            defer { if dev.isRunning { dev.terminate() } }
            let isReady = try await self.eventually(within: 60) {
                !dev.isRunning || CommandContext.firstLine(self.folder + "/data/url") != nil
            }
            let said = try CommandContext.read(output)
            #expect(isReady && dev.isRunning, "\(said)")
            guard dev.isRunning else { return }
            tokens.append(CommandContext.firstLine(self.folder + "/data/token"))
            let chat = try await self.run(["chat", "/state", "--conversation", "kept"], name: "chat")
            #expect(chat.code == 0)
            #expect(chat.output.hasPrefix("I have heard \(round - 1) lines before this one."), "\(chat.output)")
            let crash = try await self.run(["chat", "/crash"], name: "crash")
            #expect(crash.code == ExitCode.turnFailed.rawValue)
            #expect(crash.output.contains("worker_exited"))
            let agents = try await self.run(["agent", "list"], name: "agents")
            #expect(agents.output.contains("echo_agent.py"))
            kill(dev.processIdentifier, SIGINT)
            let hasEnded = try await self.eventually(within: 40) { !dev.isRunning }
            #expect(hasEnded)
            guard hasEnded else { return }
            let last = try CommandContext.read(output)
            #expect(dev.terminationReason == .exit, "\(last)")
            #expect(dev.terminationStatus == 0, "\(last)")
            #expect(CommandContext.firstLine(self.folder + "/data/url") == nil)
        }
        #expect(tokens[0] != nil)
        #expect(tokens[0] == tokens[1])
        let alone = try await self.run(["status", "--url", "http://127.0.0.1:9"], name: "alone")
        #expect(alone.code == ExitCode.unreachable.rawValue)
    }
}
