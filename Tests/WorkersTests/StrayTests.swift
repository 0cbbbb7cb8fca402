import Domain
import Foundation
import Glibc
import Subprocess
import TestKit
import Testing

@testable import Workers

extension WorkerSuite {
    /// What is left of a worker whose launcher was killed.
    @Suite struct StrayTests {
        @Test("what an agent daemonized does not outlive its launcher")
        func daemon() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("daemon"))
                let reply = await worker.perform(try Rig.turn()).outcome.reply
                let daemon = try #require(reply.flatMap { pid_t($0) })
                #expect(ProcessTable.runs(daemon))
                #expect(kill(worker.pid, SIGKILL) == 0)
                try await eventually("the end to be noticed") { worker.lifecycleState == .exited }
                Rig.drop(await worker.end())
                #expect(!ProcessTable.runs(daemon))
                #expect(ProcessTable.marked(worker.workspace.path).isEmpty)
            }
        }

        @Test("a process that has none of its environment left is found by its program or its working directory")
        func bare() async throws {
            let folder = try ScratchDirectory()
            let (own, other) = (folder.file("w"), folder.file("w2"))
            for place in [own, other] {
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                try FileManager.default.copyItem(atPath: "/usr/bin/sleep", toPath: "\(place)/sleep")
            }
            func start(_ words: String...) async throws -> Spawned {
                try await Spawned.start(words, environment: [:], output: folder.file("out"))
            }
            let byProgram = try await start("\(own)/sleep", "60")
            let byDirectory = try await start("/usr/bin/env", "--chdir=\(own)", "/usr/bin/sleep", "60")
            let stranger = try await start("\(other)/sleep", "60")
            try await eventually("both to be ended") {
                #expect(StrayProcesses.end(startedWith: "MARK=x", in: own) == 0)
                return byProgram.hasEnded && byDirectory.hasEnded
            }
            #expect(!stranger.hasEnded)
            for process in [byProgram, byDirectory, stranger] {
                process.signal(SIGKILL)
                try await process.end(within: .seconds(5))
            }
        }

        @Test("a process of another workspace, or that only names this one, is let be")
        func strangers() async throws {
            let folder = try ScratchDirectory()
            let mark = "MARK=\(folder.path)/w"
            func sleeper(_ name: String, _ value: String) async throws -> Spawned {
                try await Spawned.start(
                    ["/bin/sleep", "60"],
                    environment: [name: value],
                    output: folder.file("out")
                )
            }
            let ours = try await sleeper("MARK", "\(folder.path)/w")
            let others = [
                try await sleeper("MARK", "\(folder.path)/w2"), try await sleeper("NOMARK", "\(folder.path)/w"),
                try await sleeper("OTHER", mark),
            ]
            #expect(StrayProcesses.end(startedWith: mark) == 0)
            #expect(ours.hasEnded && others.allSatisfy { !$0.hasEnded })
            for process in [ours] + others {
                process.signal(SIGKILL)
                try await process.end(within: .seconds(5))
            }
        }
    }
}
