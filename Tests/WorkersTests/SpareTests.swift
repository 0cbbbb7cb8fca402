import Domain
import Foundation
import Runtime
import TestKit
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct SpareTests {
        private func spare(_ rig: Rig, _ configuration: AgentConfiguration, agent: String = "a") throws -> SpareOrder {
            SpareOrder(
                org: try OrganizationID("o"),
                agent: try AgentID(agent),
                version: 1,
                configuration: configuration,
                workspace: try #require(WorkspaceID(UUID().uuidString))
            )
        }

        private func place(_ rig: Rig, version: Int64? = 1, maximum: Int = 100) throws -> WorkerPlace? {
            rig.pool.reserve(org: try OrganizationID("o"), agent: try AgentID("a"), maximum: maximum, version: version)
        }

        private func start(_ rig: Rig, _ configuration: AgentConfiguration, _ place: WorkerPlace) async throws -> Worker
        {
            let order = try rig.order(configuration, workspace: place.workspace)
            switch await rig.pool.start(try Rig.permit(order), order, in: place) {
            case .started(let worker): return worker
            case .failed(let error, let lease):
                Rig.drop(lease)
                throw error
            }
        }

        @Test("a spare waits without a conversation, is given one with its lease, and leaves it the workspace")
        func handedOver() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("boot", "0", store: .snapshot)
                let order = try self.spare(rig, configuration)
                #expect(await rig.pool.startSpare(order))
                let waiting = try #require(rig.pool.workers.first)
                #expect(waiting.lifecycleState == .spare)
                #expect(!waiting.isUsable)
                #expect(!waiting.mayWriteSnapshots)
                #expect(rig.pool.placesTaken == 1)

                let place = try #require(try self.place(rig))
                #expect(place.workspace == order.workspace)
                #expect(rig.pool.placesTaken == 1)
                let worker = try await self.start(rig, configuration, place)
                #expect(worker === waiting)
                #expect(worker.lifecycleState == .bound)
                #expect(worker.mayWriteSnapshots)
                let reply = await worker.perform(try Rig.turn()).outcome.reply
                #expect(reply?.contains("\(rig.root)/\(order.workspace)/home") == true)
                let isThere = Rig.isThere(await worker.end())
                #expect(isThere)
                #expect(rig.pool.placesTaken == 0)
                #expect(FileManager.default.fileExists(atPath: "\(rig.root)/\(order.workspace)/home"))
            }
        }

        @Test("a spare that is not taken is put back, and one that ends takes its workspace along")
        func putBack() async throws {
            try await withRig { rig in
                let order = try self.spare(rig, Rig.configuration("boot", "0"))
                #expect(await rig.pool.startSpare(order))
                #expect(try self.place(rig, version: 2)?.workspace == nil)
                try self.place(rig)?.release()
                #expect(rig.pool.placesTaken == 1)
                #expect(try self.place(rig)?.workspace == order.workspace)
                await rig.pool.endSpares { _, _, version in version == 2 }
                #expect(rig.pool.placesTaken == 0)
                #expect(rig.pool.workers.isEmpty)
                #expect(!FileManager.default.fileExists(atPath: "\(rig.root)/\(order.workspace)"))
            }
        }

        @Test("a spare makes room for work, its own agent's or, on a full replica, any agent's")
        func makesRoom() async throws {
            try await withRig {
                $0.workersPerReplica = 2
            } _: { rig in
                let configuration = Rig.configuration("echo") { $0.limits.maxWorkers = 1 }
                #expect(await rig.pool.startSpare(try self.spare(rig, configuration)))
                #expect(await !rig.pool.startSpare(try self.spare(rig, configuration)))
                let first = try #require(try self.place(rig, version: nil, maximum: 1))
                #expect(first.workspace == nil)
                let worker = try await self.start(rig, configuration, first)
                #expect(rig.pool.workers.count == 1)
                #expect(await rig.pool.startSpare(try self.spare(rig, configuration, agent: "b")))
                #expect(!rig.pool.isFull)
                #expect(try self.place(rig, maximum: 1) == nil)
                let second = try #require(try self.place(rig, maximum: 2))
                #expect(rig.pool.placesTaken == 2)
                #expect(rig.pool.isFull)
                #expect(rig.pool.reserve(org: try OrganizationID("o"), agent: try AgentID("b"), maximum: 9) == nil)
                second.release()
                try await eventually("the spare to be gone") { rig.pool.placesTaken == 1 }
                Rig.drop(await worker.end())
                #expect(rig.pool.placesTaken == 0)
            }
        }

        @Test("a spare that is of no use when it is wanted is replaced, in its place and in its workspace")
        func replaced() async throws {
            try await withRig {
                $0.workersPerReplica = 1
            } _: { rig in
                let shy = Rig.configuration("boot-shy", "0", store: .snapshot)
                let order = try self.spare(rig, shy)
                #expect(await rig.pool.startSpare(order))
                let place = try #require(try self.place(rig))
                let worker = try await self.start(rig, Rig.configuration("boot", "0", store: .snapshot), place)
                let reply = await worker.perform(try Rig.turn()).outcome.reply
                #expect(reply?.contains("\(order.workspace)") == true)
                #expect(rig.pool.placesTaken == 1)
                #expect(rig.metrics.value("turnpike_spares_total", labels: ["result": "refused"]) == 1)
                let isThere = Rig.isThere(await worker.end())
                #expect(isThere)
                #expect(rig.pool.placesTaken == 0)
            }
        }

        @Test(
            "whatever is reserved, taken, put back and ended at once, no limit is ever passed and every place comes back"
        )
        func exactness() async throws {
            var seed = Seed(for: "exactness")
            try await withRig {
                $0.workersPerReplica = 5
            } _: { rig in
                let configuration = Rig.configuration("echo") { $0.limits.maxWorkers = 3 }
                let most = Locked(0)
                let isOver = Locked(false)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        while !isOver.withLock({ $0 }) {
                            let living = rig.pool.workers.count { $0.pid > 0 && $0.lifecycleState != .stopping }
                            most.withLock { $0 = max($0, living, rig.pool.placesTaken) }
                            await Task.yield()
                        }
                    }
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for name in ["a", "a", "b", "b", "a", "b"] {
                            let choices = (0..<8).map { _ in Int.random(in: 0..<4, using: &seed) }
                            group.addTask { try await self.churn(rig, configuration, agent: name, choices) }
                        }
                        try await group.waitForAll()
                    }
                    isOver.withLock { $0 = true }
                    try await group.waitForAll()
                }
                await rig.pool.endSpares { _, _, _ in false }
                try await eventually("every place to come back") { rig.pool.placesTaken == 0 }
                #expect(most.withLock { $0 } <= 5)
                #expect(rig.pool.workers.isEmpty)
            }
        }

        private func churn(_ rig: Rig, _ configuration: AgentConfiguration, agent: String, _ choices: [Int])
            async throws
        {
            for choice in choices {
                if choice == 0 { _ = await rig.pool.startSpare(try self.spare(rig, configuration, agent: agent)) }
                let place = rig.pool.reserve(
                    org: try OrganizationID("o"),
                    agent: try AgentID(agent),
                    maximum: configuration.limits.maxWorkers,
                    version: choice == 3 ? nil : 1
                )
                guard let place else { continue }
                guard choice > 1 else {
                    place.release()
                    continue
                }
                Rig.drop(await (try self.start(rig, configuration, place)).end())
            }
        }
    }
}
