import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    /// Agents that misbehave as real ones were seen to, and what becomes of a turn with each.
    @Suite struct OddAgentTests {
        private func reply(_ mode: String...) async throws -> JSONValue {
            try await withRig { rig in
                var configuration = Rig.configuration()
                configuration.command += mode
                let outcome = try await rig.once(configuration).outcome
                let text = try #require(outcome.reply, "\(outcome)")
                return try JSONReader.read(Array(text.utf8))
            }
        }

        @Test("a question that comes after the cancel is answered as cancelled at once")
        func lateQuestion() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("slow-late"))
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in
                        Issue.record("asked")
                        return .select("once")
                    },
                    emit: { _ in worker.cancel() }
                )
                #expect(result.outcome == .cancelled(partial: "half cancelled"))
                #expect(result.workerIsUsable)
                Rig.drop(await worker.end())
            }
        }

        @Test("a foreign request gets -32601 under whatever id it has, and no question is left hanging")
        func oddIDs() async throws {
            let seen = try #require(try await self.reply("odd-ids").elements)
            #expect(seen.count == 10)
            #expect(seen.dropLast().allSatisfy { $0 == [true, -32601] }, "\(seen)")
            #expect(seen.last == .null)
        }

        @Test("two questions about one unknown tool are told apart by their requests")
        func twice() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("twice"))
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { .select($0.id == "0" ? "once" : "no") },
                    emit: { _ in }
                )
                let reply = try #require(result.outcome.reply)
                let seen = try #require(try JSONReader.read(Array(reply.utf8)).elements)
                #expect(Set(seen) == [["0", "no"], [0, "once"]])
                Rig.drop(await worker.end())
            }
        }

        @Test("an agent may spell our ids as strings or fractions", arguments: ["ids", "fractions"])
        func spelledIDs(_ mode: String) async throws {
            try await withRig { rig in
                let outcome = try await rig.once(Rig.configuration(mode)).outcome
                #expect(outcome.reply == "hello there ")
            }
        }

        @Test("broken UTF-8, control characters and nesting bombs cost a character or a line, not the turn")
        func garble() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("garble"))
                #expect(result.outcome.reply == "a\u{FFFD}\u{FFFD}b\u{FFFD}\u{FFFD}😀")
                #expect(result.workerIsUsable)
                #expect(rig.metrics.value("turnpike_worker_oddities_total", labels: ["kind": "noise"]) == 6)
            }
        }

        @Test("error text with a normal stop reason is the reply, under the stop reason that was given")
        func errorText() async throws {
            try await withRig { rig in
                let outcome = try await rig.once(Rig.configuration("error-text")).outcome
                let text = "API Error: 500 Internal Server Error"
                #expect(outcome == .completed(Reply(text: text, stopReason: "end_turn", usage: nil)))
            }
        }

        @Test("a flood of error output is drained while the turn goes on, and its end is kept")
        func floodOfErrors() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("stderr", "20000"))
                let exit = OneShot<WorkerExit>()
                worker.whenExited { exit.resolve($0) }
                #expect(await worker.perform(try Rig.turn()).outcome.reply == "done")
                let words = await exit.value().lastWords
                #expect(words.hasSuffix("x\nthe very last"))
                #expect(words.utf8.count <= LastWords.maximumBytes)
                Rig.drop(await worker.end())
            }
        }

        @Test("a daemon outside the worker's process group does not survive it")
        func daemon() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("daemon"))
                let reply = try #require(await worker.perform(try Rig.turn()).outcome.reply)
                let daemon = try #require(pid_t(reply))
                #expect(kill(daemon, 0) == 0)
                #expect(getpgid(daemon) != getpgid(worker.pid))
                Rig.drop(await worker.end())
                #expect(try await eventually { kill(daemon, 0) == -1 })
            }
        }

        @Test("usage is told by turn, whether the agent reports totals or the turn's own")
        func usage() async throws {
            try await withRig { rig in
                let totals = try await rig.start(Rig.configuration("usage", "totals"))
                let costs = Locked<[JSONValue?]>([])
                var told: [JSONValue?] = []
                for _ in 1...3 {
                    let result = await totals.perform(
                        try Rig.turn(),
                        wantsBase: true,
                        ask: { _ in .cancelled },
                        emit: { event in
                            guard case .usage(let usage) = event else { return }
                            costs.withLock { $0.append(usage["cost"]?["amount"]) }
                        }
                    )
                    guard case .completed(let reply) = result.outcome else { continue }
                    told.append(reply.usage)
                }
                #expect(
                    told == [
                        ["inputTokens": 10, "outputTokens": 4],
                        ["inputTokens": 10, "outputTokens": 6, "reported": ["inputTokens": 20, "outputTokens": 10]],
                        ["inputTokens": 10, "outputTokens": 8, "reported": ["inputTokens": 30, "outputTokens": 18]],
                    ]
                )
                #expect(costs.withLock { $0 } == [.number(0.1), .number(0.1), .number(0.1)])
                Rig.drop(await totals.end())
                let own = try await rig.start(Rig.configuration("usage", "own"))
                for turn in 1...3 {
                    guard case .completed(let reply) = await own.perform(try Rig.turn()).outcome else { continue }
                    let input = Int64(10 * turn), output = Int64(9 - turn)
                    #expect(reply.usage == ["inputTokens": .integer(input), "outputTokens": .integer(output)])
                }
                Rig.drop(await own.end())
            }
        }
    }

    @Suite struct PartTests {
        private static let image: JSONValue = ["type": "image", "data": "eA==", "mimeType": "image/png"]
        private static let link: JSONValue = ["type": "resource_link", "name": "a", "uri": "file:///a"]

        private func turn(_ parts: [JSONValue]) throws -> ArmedTurn {
            let turn = try Rig.turn()
            return ArmedTurn(
                id: turn.id,
                seq: 1,
                run: turn.run,
                attempt: 1,
                input: TurnInput(parts: parts),
                deadlineSeconds: nil,
                cancelRequested: false
            )
        }

        @Test("a part goes to an agent that says it takes it, and a link to every agent")
        func passed() async throws {
            try await withRig { rig in
                let abilities = #"{"promptCapabilities":{"image":true,"embeddedContext":true}}"#
                let worker = try await rig.start(Rig.configuration("parts", abilities))
                let resource: JSONValue = ["type": "resource", "resource": ["uri": "file:///b", "text": "b"]]
                let parts = [["type": "text", "text": "look"], Self.image, Self.link, resource]
                let result = await worker.perform(try self.turn(parts))
                #expect(result.outcome.reply == #"["text", "image", "resource_link", "resource"]"#)
                Rig.drop(await worker.end())
                let plain = try await rig.start(Rig.configuration("parts"))
                #expect(await plain.perform(try self.turn([Self.link])).outcome.reply == #"["resource_link"]"#)
                Rig.drop(await plain.end())
            }
        }

        @Test("a part that the agent does not take fails its turn before it is sent, and the worker goes on")
        func declined() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("counter-parts", store: .snapshot))
                let declined: [([JSONValue], String)] = [
                    (
                        [["type": "text", "text": "look"], Self.image],
                        "the agent takes no part of type image (part 1); it takes resource_link, text"
                    ),
                    (
                        [["type": "resource_link", "name": "a"]],
                        "part 0 of the input, of type resource_link, has no uri"
                    ),
                    ([["text": "x"]], "part 0 of the input has no type"),
                ]
                for (parts, message) in declined {
                    let result = await worker.perform(try self.turn(parts))
                    #expect(result.outcome == .failed(.inputUnsupported, message: message, partial: ""))
                    #expect(result.workerIsUsable)
                }
                #expect(await worker.perform(try Rig.turn()).outcome.reply == "n=1 wants=base")
                Rig.drop(await worker.end())
            }
        }

        @Test("the agent's tool servers are handed over when its session is opened")
        func servers() async throws {
            try await withRig { rig in
                let program = MCPServer(
                    name: "files",
                    command: "/bin/files",
                    arguments: ["-v"],
                    environment: [MCPServer.Pair(name: "A", value: "1")]
                )
                let remote = MCPServer(name: "far", transport: .http, url: "https://mcp.example")
                let configuration = Rig.configuration("servers", #"{"mcpCapabilities":{"http":true}}"#) {
                    $0.mcpServers = [program, remote]
                }
                let reply = try #require(try await rig.once(configuration).outcome.reply)
                #expect(
                    try JSONReader.read(Array(reply.utf8)) == [
                        [
                            "name": "files", "command": "/bin/files", "args": ["-v"],
                            "env": [["name": "A", "value": "1"]],
                        ],
                        ["type": "http", "name": "far", "url": "https://mcp.example", "headers": []],
                    ]
                )
                let incapable = Rig.configuration("servers") { $0.mcpServers = [program, remote] }
                let (error, _) = try await rig.failStart(incapable)
                #expect(error?.message == "the agent cannot reach the MCP server far: it does not support http")
            }
        }
    }
}
