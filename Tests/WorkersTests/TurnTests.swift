import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct TurnTests {
        @Test("a reply is its chunks, and every kind of update becomes an event in order")
        func echo() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("echo"))
                #expect(worker.pid > 0)
                let events = Locked<[TurnEvent]>([])
                let result = await worker.perform(
                    try Rig.turn("one two"),
                    wantsBase: true,
                    ask: { _ in .cancelled },
                    emit: { event in events.withLock { $0.append(event) } }
                )
                #expect(
                    result.outcome
                        == .completed(
                            Reply(text: "one two ", stopReason: "end_turn", usage: ["totalTokens": 3])
                        )
                )
                #expect(result.snapshot == nil)
                #expect(result.workerIsUsable)
                #expect(
                    events.withLock { $0 } == [
                        .thought(text: "hm"),
                        .tool(ToolActivity(id: "t-1", name: "search", status: "pending", input: ["q": "one two"])),
                        .tool(
                            ToolActivity(
                                id: "t-1",
                                name: "search",
                                status: "completed",
                                input: ["q": "one two"],
                                output: [1]
                            )
                        ),
                        .plan([["content": "answer"]]),
                        .usage(["used": 5, "size": 10]),
                        .delta(text: "one "),
                        .delta(text: "two "),
                    ]
                )
                let second = await worker.perform(try Rig.turn("again"))
                #expect(second.outcome.reply == "again ")
                Rig.drop(await worker.end())
            }
        }

        @Test("what belongs to no turn of ours is ignored")
        func chatter() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("chatter"))
                let noise = ["kind": "noise"]
                for turn in 1...2 {
                    let outcome = await worker.perform(try Rig.turn()).outcome
                    #expect(outcome.reply == "only this", "\(outcome)")
                    // The stray line is the last thing that the double writes.
                    let wasRead = try await eventually {
                        rig.metrics.value("turnpike_worker_oddities_total", labels: noise) == Double(turn)
                    }
                    #expect(wasRead)
                }
                Rig.drop(await worker.end())
                #expect(rig.metrics.value("turnpike_worker_oddities_total", labels: ["kind": "unknown_response"]) == 2)
            }
        }

        @Test("a request that no gateway answers gets -32601 with its own id")
        func foreignRequest() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("foreign"))
                #expect(result.outcome.reply == "id=0 code=-32601")
            }
        }

        @Test("a refusal fails as refused and keeps the text")
        func refusal() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("refusal"))
                #expect(result.outcome == .failed(.refused, message: "I will not", partial: "I will not"))
                #expect(result.workerIsUsable)
            }
        }

        @Test("a JSON-RPC error fails the turn with its message")
        func error() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("error"))
                #expect(result.outcome.failure == .protocolError)
                #expect(result.outcome.message == "Internal error: \"boom\" (code -32603)")
            }
        }

        @Test("a worker that ends within a turn fails it, whatever its status", arguments: ["0", "3", "kill"])
        func exit(_ status: String) async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("exit", status))
                let exit = OneShot<WorkerExit>()
                worker.whenExited { exit.resolve($0) }
                let result = await worker.perform(try Rig.turn())
                #expect(result.outcome.failure == .workerExited)
                #expect(result.outcome.partial == "half ")
                let what = status == "kill" ? "was killed by signal 9" : "exited with status \(status)"
                #expect(
                    result.outcome.message == "the worker \(what); its last words: first line\nout of cheese"
                )
                #expect(!result.workerIsUsable)
                let seen = await exit.value()
                #expect(seen.status == (status == "kill" ? .signalled(9) : .exited(Int32(status) ?? -1)))
                #expect(!seen.wasIntended)
                let late = OneShot<WorkerExit>()
                worker.whenExited { late.resolve($0) }
                #expect(await late.value() == seen)
                Rig.drop(await worker.end())
            }
        }

        @Test("the exit counts, not the pipe that a grandchild holds open")
        func grandchild() async throws {
            try await withRig { rig in
                let begin = ContinuousClock.now
                let result = try await rig.once(Rig.configuration("grandchild", "4"))
                #expect(result.outcome.failure == .workerExited)
                #expect(result.outcome.message?.contains("exited with status 4") == true)
                #expect(ContinuousClock.now - begin < .seconds(10))
            }
        }

        @Test("a worker that closes its output and stays is killed")
        func closedOutput() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("closed"))
                #expect(result.outcome.failure == .workerExited)
                #expect(!result.workerIsUsable)
            }
        }

        @Test("twenty lines of noise in a row fail the turn, ten do not")
        func noise() async throws {
            try await withRig { rig in
                let loud = try await rig.once(Rig.configuration("noisy-turn", "20"))
                #expect(loud.outcome.failure == .protocolError)
                #expect(!loud.workerIsUsable)
                let tolerable = try await rig.once(Rig.configuration("noisy-turn", "10"))
                #expect(tolerable.outcome.reply == "")
            }
        }

        @Test("a line over its bound fails the turn")
        func hugeLine() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("huge", "300000") { $0.limits.lineBytes = 100_000 }
                let result = try await rig.once(configuration)
                #expect(result.outcome.failure == .outputLimit)
                #expect(!result.workerIsUsable)
            }
        }

        @Test("text without end is cut off at the agent's limit")
        func flood() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("flood") { $0.limits.outputBytes = 50_000 })
                #expect(result.outcome.failure == .outputLimit)
                #expect(result.outcome.partial?.utf8.count == 50_000)
                #expect(!result.workerIsUsable)
            }
        }

        @Test("silence is closed at the progress deadline")
        func silence() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("silent") { $0.limits.progressSeconds = 1 })
                #expect(result.outcome.failure == .workerUnresponsive)
                #expect(!result.workerIsUsable)
            }
        }

        @Test("signs of life extend the progress deadline, but not the hard one")
        func trickle() async throws {
            try await withRig { rig in
                let begin = ContinuousClock.now
                let configuration = Rig.configuration("trickle") { $0.limits.progressSeconds = 1 }
                let result = try await rig.once(configuration, seconds: 2)
                #expect(result.outcome.failure == .deadlineExceeded)
                #expect(ContinuousClock.now - begin >= .seconds(2))
            }
        }

        @Test("the time before the worker gets a turn counts against its hard deadline")
        func startedLate() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("trickle"))
                let begin = ContinuousClock.now
                let result = await worker.perform(try Rig.turn(seconds: 60), deadline: begin + .seconds(1))
                #expect(result.outcome.failure == .deadlineExceeded)
                #expect((.seconds(1)..<(.seconds(30))).contains(ContinuousClock.now - begin))
                Rig.drop(await worker.end())
            }
        }

        @Test("a turn whose client left before the worker got it is cancelled unseen")
        func cancelledBefore() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("silent"))
                let result = await worker.perform(try Rig.turn(cancelled: true))
                #expect(result.outcome == .cancelled(partial: ""))
                #expect(result.workerIsUsable)
                Rig.drop(await worker.end())
            }
        }

        @Test(
            "any end after a cancel is cancelled, with the text so far",
            arguments: ["slow", "slow-done", "slow-error", "slow-refusal", "slow-odd"]
        )
        func cancel(_ mode: String) async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration(mode))
                worker.cancel()
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in .cancelled },
                    emit: { _ in worker.cancel() }
                )
                #expect(result.outcome == .cancelled(partial: "half "))
                #expect(result.workerIsUsable)
                Rig.drop(await worker.end())
            }
        }

        @Test("a worker that ignores a cancel is killed after the grace")
        func deafToCancel() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("slow-deaf"))
                let begin = ContinuousClock.now
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in .cancelled },
                    emit: { _ in worker.cancel() }
                )
                #expect(result.outcome == .cancelled(partial: "half "))
                #expect(!result.workerIsUsable)
                #expect((.seconds(1)...(.seconds(4))).contains(ContinuousClock.now - begin))
                Rig.drop(await worker.end())
            }
        }

        @Test("cancelling the task that performs the turn kills the worker")
        func abandoned() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("silent"))
                let turn = try Rig.turn()
                async let performed = withTaskGroup(of: TurnResult.self) { group in
                    group.addTask { await worker.perform(turn) }
                    group.cancelAll()
                    return await group.next()
                }
                #expect(await performed?.outcome == .cancelled(partial: ""))
                #expect(try await eventually { worker.lifecycleState == .exited })
                Rig.drop(await worker.end())
            }
        }

        @Test("a second turn at the same time fails and leaves the first alone")
        func twoTurns() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("slow"))
                let second = Locked<TurnResult?>(nil)
                async let first = worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in .cancelled },
                    emit: { _ in }
                )
                #expect(try await eventually { worker.lifecycleState == .running })
                let refused = await worker.perform(try Rig.turn())
                second.withLock { $0 = refused }
                worker.cancel()
                #expect(try await first.outcome.state == .cancelled)
                #expect(second.withLock { $0?.outcome.failure } == .workerExited)
                Rig.drop(await worker.end())
            }
        }

        @Test("ending a worker within a turn fails the turn")
        func endWithin() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("silent"))
                async let performed = worker.perform(try Rig.turn())
                #expect(try await eventually { worker.lifecycleState == .running })
                Rig.drop(await worker.end())
                let result = try await performed
                #expect(result.outcome.failure == .workerExited)
                #expect(result.outcome.message == "the worker was stopped")
            }
        }
    }

    @Suite struct PermissionTests {
        private func answer(_ answer: @escaping @Sendable (PermissionQuestion) -> PermissionAnswer) async throws
            -> String?
        {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("ask"))
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { answer($0) },
                    emit: { _ in }
                )
                Rig.drop(await worker.end())
                return result.outcome.reply
            }
        }

        @Test("a question carries its options and the answer goes back under its id")
        func selected() async throws {
            let seen = Locked<PermissionQuestion?>(nil)
            let reply = try await self.answer { question in
                seen.withLock { $0 = question }
                return .select("risky")
            }
            #expect(reply == "0:risky")
            let question = try #require(seen.withLock { $0 })
            #expect(question.id == "0")
            #expect(question.tool == ToolActivity(id: "t-9", name: "touch x", status: "pending"))
            #expect(question.options.map(\.id) == ["always", "once", "risky", "no"])
        }

        @Test("an option that was not offered counts as cancelled")
        func unknownOption() async throws {
            #expect(try await self.answer { _ in .select("nonsense") } == "0:cancelled")
        }

        @Test("a policy takes the first option for once, never one for always")
        func policies() async throws {
            #expect(try await self.answer { PermissionPolicy.allow.answer($0.options) } == "0:once")
            #expect(try await self.answer { PermissionPolicy.deny.answer($0.options) } == "0:no")
            let always = [PermissionOption(id: "a", name: "a", kind: "allow_always")]
            #expect(PermissionPolicy.allow.answer(always) == .cancelled)
            #expect(PermissionPolicy.deny.answer(always) == .cancelled)
        }

        @Test("a cancel answers the waiting question as cancelled, the asker is told, and the worker is not used again")
        func cancelWhileAsking() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("slow-ask"))
                let wasCancelled = Locked(false)
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in
                        worker.cancel()
                        do {
                            try await Task.sleep(for: .seconds(30))
                        } catch {
                            wasCancelled.withLock { $0 = true }
                        }
                        return .select("once")
                    },
                    emit: { _ in }
                )
                #expect(result.outcome == .cancelled(partial: "half answered=cancelled"))
                #expect(wasCancelled.withLock { $0 })
                #expect(!result.workerIsUsable)
                Rig.drop(await worker.end())
            }
        }

        @Test("while the worker waits for an answer, its silence is not its own")
        func progressWhileAsking() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("ask") { $0.limits.progressSeconds = 1 })
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: true,
                    ask: { _ in
                        do { try await Task.sleep(for: .milliseconds(1_500)) } catch { return .cancelled }
                        return .select("once")
                    },
                    emit: { _ in }
                )
                #expect(result.outcome.reply == "0:once")
                Rig.drop(await worker.end())
            }
        }
    }
}
