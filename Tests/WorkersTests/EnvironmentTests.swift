import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct EnvironmentTests {
        @Test("a worker's environment is the allow-list, the agent's own, and nothing else")
        func environment() async throws {
            setenv("TURNPIKE_DATABASE_URL", "postgres://secret", 1)
            setenv("SOME_SECRET", "x", 1)
            try await withRig { rig in
                let configuration = Rig.configuration("environment") {
                    $0.environment = ["MODEL": "m", "TURNPIKE_DATABASE_PASSWORD": "faked"]
                    $0.isolation = .limits
                }
                let worker = try await rig.start(configuration)
                let reply = try #require(await worker.perform(try Rig.turn()).outcome.reply)
                Rig.drop(await worker.end())
                var seen = try JSONDecoder().decode([String: String].self, from: Data(reply.utf8))
                // What a shell or the interpreter sets for itself is no leak.
                for name in ["LC_CTYPE", "PWD", "SHLVL", "_"] { seen[name] = nil }
                let home = worker.workspace.path
                #expect(
                    seen == [
                        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "\(home)/home",
                        "TMPDIR": "\(home)/tmp", "MODEL": "m", "TURNPIKE_WORKSPACE": home,
                    ]
                )
            }
        }

        @Test("a worker has the descriptors 0, 1 and 2 and no other")
        func descriptors() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("descriptors"))
                #expect(result.outcome.reply == "[0, 1, 2]")
            }
        }

        @Test("isolation by limits sets them, and gives up new privileges")
        func limits() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("limits") {
                    $0.isolation = .limits
                    $0.limits.openFiles = 64
                    $0.limits.memoryBytes = 1 << 30
                }
                let reply = try #require(try await rig.once(configuration).outcome.reply)
                let seen = try JSONDecoder().decode(JSONValue.self, from: Data(reply.utf8))
                #expect(seen == ["files": 64, "memory": .integer(1 << 30), "core": 0, "privileges": "1"])
            }
        }

        @Test("a conversation keeps its workspace, a direct turn's goes with its worker")
        func workspaces() async throws {
            try await withRig { rig in
                let first = try await rig.start(Rig.configuration("echo"))
                Rig.drop(await first.end())
                let second = try await rig.start(Rig.configuration("echo"))
                #expect(first.workspace == second.workspace)
                #expect(first.workspace.path.hasPrefix("\(rig.root)/7-"))
                Rig.drop(await second.end())
                var status = stat()
                for path in [first.workspace.path, first.workspace.home, first.workspace.work] {
                    #expect(stat(path, &status) == 0)
                    #expect(status.st_mode & 0o777 == 0o700)
                }
                let direct = try await rig.start(Rig.configuration("echo"), conversation: nil)
                #expect(FileManager.default.fileExists(atPath: direct.workspace.work))
                Rig.drop(await direct.end())
                #expect(!FileManager.default.fileExists(atPath: direct.workspace.path))
            }
        }

        @Test("names that read alike do not share a workspace")
        func injective() async throws {
            try await withRig { rig in
                func path(_ org: String, _ agent: String, _ conversation: String) throws -> String {
                    let order = WorkerOrder(
                        org: try OrganizationID(org),
                        agent: try AgentID(agent),
                        conversation: try ConversationID(conversation),
                        number: ConversationNumber(1),
                        configuration: AgentConfiguration(),
                        deployment: try #require(DeploymentID(UUID().uuidString)),
                        epoch: 1,
                        chain: try SnapshotChain([])
                    )
                    return Workspace(root: rig.root, order: order).path
                }
                let paths = [try path("a", "b:c", "d"), try path("a:b", "c", "d"), try path("..", "..", "..")]
                #expect(Set(paths).count == 3)
                #expect(paths.allSatisfy { $0.hasPrefix("\(rig.root)/1-") })
            }
        }

        @Test("a symbolic link in the place of a workspace is refused")
        func symbolicLink() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("echo"))
                Rig.drop(await worker.end())
                let home = worker.workspace.home
                try FileManager.default.removeItem(atPath: home)
                try FileManager.default.createSymbolicLink(atPath: home, withDestinationPath: "/tmp")
                let error = await #expect(throws: WorkerError.self) {
                    try await rig.start(Rig.configuration("echo"))
                }
                #expect(error?.message.hasPrefix("the worker's workspace cannot be made: open home") == true)
            }
        }
    }

    @Suite struct CommandTests {
        private func configuration(_ script: String) -> AgentConfiguration {
            var configuration = AgentConfiguration(
                driver: .command,
                command: ["/bin/sh", "-c", script],
                storeMode: .none
            )
            configuration.limits.graceSeconds = 1
            return configuration
        }

        @Test("standard input is the prompt, standard output the reply, one process a turn")
        func cat() async throws {
            try await withRig { rig in
                let worker = try await rig.start(self.configuration("cat; echo $TURNPIKE_CONVERSATION"))
                #expect(worker.pid == 0)
                for text in ["grüße", "again"] {
                    let result = await worker.perform(try Rig.turn(text))
                    #expect(
                        result.outcome == .completed(Reply(text: "\(text)c\n", stopReason: "exit_0", usage: nil))
                    )
                    #expect(result.workerIsUsable)
                }
                Rig.drop(await worker.end())
                #expect(worker.lifecycleState == .exited)
            }
        }

        @Test("a status other than 0 fails the turn with the last words, and the next turn is free")
        func failure() async throws {
            try await withRig { rig in
                let worker = try await rig.start(self.configuration("printf half; echo no luck >&2; exit 5"))
                for _ in 0..<2 {
                    let result = await worker.perform(try Rig.turn())
                    #expect(
                        result.outcome
                            == .failed(
                                .workerExited,
                                message: "the program exited with status 5; its last words: no luck",
                                partial: "half"
                            )
                    )
                    #expect(result.workerIsUsable)
                }
                Rig.drop(await worker.end())
            }
        }

        @Test("a cancel ends the program by signal, even one that ignores the first", arguments: [false, true])
        func cancel(_ stubborn: Bool) async throws {
            try await withRig { rig in
                let trap = stubborn ? "trap '' TERM; " : ""
                let worker = try await rig.start(self.configuration("\(trap)printf half; sleep 30; sleep 30"))
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in .cancelled },
                    emit: { _ in worker.cancel() }
                )
                #expect(result.outcome == .cancelled(partial: "half"))
                #expect(worker.pid == 0)
                Rig.drop(await worker.end())
            }
        }

        @Test("a turn that another kind of worker had parked is not begun anew: no program runs, what was said is kept")
        func parked() async throws {
            try await withRig { rig in
                let worker = try await rig.start(self.configuration("touch \(rig.root)/ran; cat"))
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: false,
                    resumption: Resumption(continuation: [], said: "so far", calls: []),
                    ask: { _ in .cancelled },
                    emit: { _ in }
                )
                #expect(result.outcome.failure == .protocolError && result.outcome.partial == "so far")
                #expect(result.workerIsUsable)
                #expect(!FileManager.default.fileExists(atPath: "\(rig.root)/ran"))
                #expect(await worker.perform(try Rig.turn("next")).outcome.reply == "next")
                Rig.drop(await worker.end())
            }
        }

        @Test("a program that takes too long is killed")
        func deadline() async throws {
            try await withRig { rig in
                let result = try await rig.once(self.configuration("sleep 30"), seconds: 1)
                #expect(result.outcome.failure == .deadlineExceeded)
            }
        }

        @Test("a program that is not there is refused at the start")
        func missing() async throws {
            try await withRig { rig in
                var configuration = self.configuration("")
                configuration.command = ["/bin/nothing-here"]
                let (error, _) = try await rig.failStart(configuration)
                #expect(error?.message == "there is no executable program /bin/nothing-here")
            }
        }
    }
}
