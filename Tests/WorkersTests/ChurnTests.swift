import Domain
import Foundation
import Glibc
import Runtime
import TestKit
import Testing

@testable import Workers

extension WorkerSuite {
    /// Workers that are hard to get rid of, again and again: `make churn` asks for 500 cycles of each.
    @Suite struct ChurnTests {
        private static let cycles = ProcessInfo.processInfo.environment["TURNPIKE_CHURN"].flatMap { Int($0) } ?? 25
        /// So many live and die together.
        private static let atOnce = 25
        /// What the allocator may keep, in kB.
        private static let memory = 8 * 1024

        @Test(
            "stubborn workers come and go, and leave no process, no zombie, no descriptor and no memory behind",
            arguments: ["ignores-eof", "ignores-sigterm", "double-forks", "holds-the-pipe", "forks-children"]
        )
        func churn(mode: String) async throws {
            try await withRig { rig in
                let folder = try ScratchDirectory()
                let program = try await Self.double(in: folder)
                let mark = "churn-\(UUID())"
                var configuration = AgentConfiguration(driver: .acp, command: [program, mode], storeMode: .none)
                configuration.environment = ["MARK": mark]
                configuration.limits.graceSeconds = 1
                // The first of everything is dearer.
                try await Self.run(Self.atOnce, configuration, rig)
                let before = Self.figures()
                let began = ContinuousClock.now
                try await Self.run(Self.cycles, configuration, rig)
                let time = ContinuousClock.now - began
                let orphans = ProcessTable.marked(mark)
                #expect(orphans.isEmpty, "\(orphans.count) processes were left")
                try await eventually("nothing waits to be collected", within: .seconds(1)) {
                    ProcessTable.zombies(of: getpid()).isEmpty
                }
                try await eventually("all descriptors are closed", within: .seconds(1)) {
                    Self.figures().descriptors <= before.descriptors
                }
                let after = Self.figures()
                #expect(after.memory - before.memory <= Self.memory, "\(before.memory) kB before, \(after.memory) kB")
                let line =
                    "\(Self.cycles) cycles of \(mode) in \(time): \(orphans.count) processes left, descriptors "
                    + "\(before.descriptors) → \(after.descriptors), \(before.memory) → \(after.memory) kB RSS"
                FileHandle.standardError.write(Data("figure: \(line)\n".utf8))
                withExtendedLifetime(folder) {}
            }
        }

        /// Starts and ends so many, one half politely.
        private static func run(_ cycles: Int, _ configuration: AgentConfiguration, _ rig: Rig) async throws {
            let next = Locked(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<self.atOnce {
                    group.addTask {
                        while let cycle = next.withLock({ next -> Int? in
                            defer { next += 1 }
                            return next < cycles ? next : nil
                        }) {
                            let worker = try await rig.start(configuration, conversation: "c-\(cycle)")
                            if cycle.isMultiple(of: 2) { worker.kill() }
                            Rig.drop(await worker.end())
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        private static func figures() -> (descriptors: Int, memory: Int) {
            let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
            return (open?.count ?? 0, ProcessTable.status(getpid(), "VmRSS"))
        }

        private static func double(in folder: ScratchDirectory) async throws -> String {
            let source = URL(filePath: Rig.double).deletingLastPathComponent().appending(path: "stubborn_worker.c").path
            let program = folder.file("stubborn_worker")
            let compiler = try await Spawned.start(
                ["/usr/bin/cc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", program, source],
                environment: ["PATH": "/usr/bin:/bin"],
                output: folder.file("cc.log")
            )
            guard try await compiler.end(within: .seconds(60)) == 0 else { throw Missing(description: compiler.text) }
            return program
        }
    }
}
