import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct StartTests {
        private func refused(_ configuration: AgentConfiguration) async throws -> String {
            try await withRig { rig in
                let (error, hasLease) = try await rig.failStart(configuration)
                #expect(error?.code == .workerStartFailed)
                #expect(hasLease == (configuration.storeMode == .snapshot))
                #expect(rig.pool.placesTaken == 0)
                #expect(rig.metrics.value("turnpike_worker_starts_total", labels: ["result": "failed"]) == 1)
                return error?.message ?? ""
            }
        }

        @Test("a program that does not exist is named, and the lease comes back")
        func missing() async throws {
            let configuration = Rig.configuration("echo", store: .snapshot) { $0.command = ["no-such-program"] }
            #expect(try await self.refused(configuration).hasPrefix("there is no executable program no-such-program"))
        }

        @Test("an exit before initialize shows the status and the last words")
        func earlyExit() async throws {
            #expect(
                try await self.refused(Rig.configuration("early", "3"))
                    == "the worker exited with status 3 before it was ready; its last words: cannot find my [31mkeys[0m"
            )
        }

        @Test("a worker that never answers is given up at its deadline")
        func mute() async throws {
            let configuration = Rig.configuration("mute", store: .snapshot) { $0.limits.startSeconds = 1 }
            #expect(try await self.refused(configuration) == "the worker did not initialize within 1 s")
        }

        @Test("another protocol version is refused")
        func version() async throws {
            #expect(
                try await self.refused(Rig.configuration("version2"))
                    == "the worker speaks protocol version 2; only 1 is supported"
            )
        }

        @Test("a worker that wants to be logged in says so")
        func authentication() async throws {
            #expect(
                try await self.refused(Rig.configuration("auth"))
                    == "the worker needs authentication for session/new: log in first (code -32000); "
                    + "it offers these ways to log in: key (An API key), browser"
            )
        }

        @Test("a program that does not speak the protocol is recognized by its noise")
        func noise() async throws {
            #expect(
                try await self.refused(Rig.configuration("noise", "20"))
                    == "the worker wrote 11 lines in a row that are no protocol messages"
            )
        }

        @Test("a banner of one line is tolerated")
        func banner() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("noise", "1"))
                #expect(result.outcome.reply == "hello there ")
            }
        }

        @Test("places are bounded per agent and per replica, and come back")
        func caps() async throws {
            try await withRig { limits in
                limits.workersPerReplica = 3
            } _: { rig in
                let (org, agent) = (try OrganizationID("o"), try AgentID("a"))
                let other = try AgentID("b")
                let first = try #require(rig.pool.reserve(org: org, agent: agent, maximum: 2))
                let second = try #require(rig.pool.reserve(org: org, agent: agent, maximum: 2))
                #expect(rig.pool.reserve(org: org, agent: agent, maximum: 2) == nil)
                let third = try #require(rig.pool.reserve(org: org, agent: other, maximum: 2))
                #expect(rig.pool.reserve(org: nil, agent: other, maximum: 2) == nil)
                second.release()
                second.release()
                #expect(rig.pool.placesTaken == 2)
                let fourth = try #require(rig.pool.reserve(org: org, agent: agent, maximum: 2))
                for place in [first, third, fourth] { place.release() }
                #expect(rig.pool.placesTaken == 0)
            }
        }

        @Test("only so many starts run at once, first come, first served")
        func gate() async throws {
            let gate = StartGate(places: 2)
            let order = Locked<[Int]>([])
            await gate.enter()
            await gate.enter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<5 {
                    group.addTask {
                        await gate.enter()
                        order.withLock { $0.append(number) }
                        gate.leave()
                    }
                    #expect(try await eventually { gate.queue == number + 1 })
                }
                gate.leave()
                try await group.waitForAll()
            }
            #expect(order.withLock { $0 } == [0, 1, 2, 3, 4])
            gate.leave()
            #expect(gate.queue == 0)
        }

        @Test("who waits for a start is asked meanwhile and at its turn, and gives way when it is not wanted any more")
        func waiting() async throws {
            let gate = StartGate(places: 1)
            let (asked, isWanted) = (Locked(0), Locked(true))
            let often = StartWait(askedEvery: .milliseconds(1)) {
                asked.withLock { $0 += 1 }
                return isWanted.withLock { $0 }
            }
            let never = StartWait(askedEvery: .seconds(3_600)) { isWanted.withLock { $0 } }
            #expect(await gate.enter(often))
            #expect(asked.withLock { $0 } == 0, "who need not wait is not asked")
            async let impatient = gate.enter(often)
            #expect(try await eventually { asked.withLock { $0 } > 2 })
            async let patient = gate.enter(never)
            #expect(try await eventually { gate.queue == 2 })
            isWanted.withLock { $0 = false }
            let hasPlace = await impatient
            #expect(!hasPlace)
            gate.leave()
            let hasPlaceAtLast = await patient
            #expect(!hasPlaceAtLast, "it is asked once more when its turn has come")
            #expect(await gate.enter(), "and the place is free again")
        }
    }

    @Suite struct EndTests {
        @Test("the lease comes back once, and the place is free")
        func lease() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("counter", store: .snapshot))
                #expect(rig.pool.placesTaken == 1)
                let pid = worker.pid
                let isThere = Rig.isThere(await worker.end())
                #expect(isThere)
                let isThereAgain = Rig.isThere(await worker.end())
                #expect(!isThereAgain)
                #expect(rig.pool.placesTaken == 0)
                // It is dead now; who collects it may be a moment later.
                #expect(try await eventually { kill(pid, 0) == -1 })
                #expect(rig.metrics.value("turnpike_worker_exits_total", labels: ["reason": "stopped"]) == 1)
            }
        }

        @Test("a worker that ignores the end of its input and SIGTERM is killed")
        func stubborn() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("stubborn"))
                let begin = ContinuousClock.now
                Rig.drop(await worker.end())
                #expect((.seconds(2)...(.seconds(5))).contains(ContinuousClock.now - begin))
                #expect(worker.lifecycleState == .exited)
            }
        }

        @Test("shutting the pool down ends every worker and refuses new ones")
        func endAll() async throws {
            try await withRig { rig in
                var workers: [Worker] = []
                for _ in 0..<3 { workers.append(try await rig.start(Rig.configuration("echo"))) }
                #expect(rig.metrics.render().contains("turnpike_workers{state=\"bound\"} 3"))
                await rig.pool.endAll()
                #expect(workers.allSatisfy { $0.lifecycleState == .exited })
                #expect(rig.pool.workers.isEmpty)
                #expect(rig.pool.reserve(org: try OrganizationID("o"), agent: try AgentID("a"), maximum: 9) == nil)
            }
        }

        @Test("fifty starts and ends leave neither process nor descriptor behind")
        func cycles() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("echo"))
                Rig.drop(await worker.end())
                let before = try Self.openDescriptors()
                var pids: [Int32] = []
                for _ in 0..<50 {
                    let worker = try await rig.start(Rig.configuration("echo"))
                    pids.append(worker.pid)
                    Rig.drop(await worker.end())
                }
                #expect(try await eventually { pids.allSatisfy { kill($0, 0) == -1 } })
                #expect(try await eventually { try Self.openDescriptors() <= before })
                #expect(rig.pool.placesTaken == 0)
            }
        }

        private static func openDescriptors() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        }
    }
}
