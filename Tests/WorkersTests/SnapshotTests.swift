import Domain
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct SnapshotTests {
        @Test("a worker's state survives it through a base and its deltas")
        func chain() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("counter", store: .snapshot)
                var links: [Snapshot] = []
                for life in 0..<3 {
                    let worker = try await rig.start(configuration, chain: links)
                    #expect(worker.mayWriteSnapshots)
                    for turn in 1...2 {
                        let seq = Int64(life * 2 + turn)
                        let result = await worker.perform(try Rig.turn(), wantsBase: links.isEmpty)
                        #expect(result.outcome.reply == "n=\(seq) wants=\(seq == 1 ? "base" : "delta")")
                        #expect(result.workerIsUsable)
                        let update = try #require(result.snapshot)
                        links.append(Snapshot(seq: seq, parent: seq - 1, kind: update.kind, body: update.body))
                    }
                    Rig.drop(await worker.end())
                }
                #expect(links.map(\.kind) == [.base] + Array(repeating: .delta, count: 5))
            }
        }

        @Test("a turn without a run id is asked for no snapshot and gives none")
        func withoutRun() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.configuration("counter", store: .snapshot))
                let result = await worker.perform(try Rig.turn(run: false))
                #expect(result.outcome.reply == "n=1 wants=None")
                #expect(result.snapshot == nil)
                // What it knows now is in no snapshot.
                #expect(!result.workerIsUsable)
                Rig.drop(await worker.end())
            }
        }

        @Test("what a worker without the right offers is dropped and counted")
        func uninvited() async throws {
            try await withRig { rig in
                let result = try await rig.once(Rig.configuration("uninvited"))
                #expect(result.outcome.reply == "")
                #expect(result.snapshot == nil)
                let labels = ["kind": "snapshot_dropped"]
                #expect(rig.metrics.value("turnpike_worker_oddities_total", labels: labels) == 1)
            }
        }

        @Test(
            "a snapshot that cannot be kept fails the turn and the worker with it",
            arguments: [
                ("snapshot-bad", FailureCode.snapshotFailed), ("snapshot-missing", .snapshotFailed),
                ("snapshot-delta", .snapshotFailed), ("snapshot-large", .snapshotTooLarge),
            ]
        )
        func bad(_ mode: String, _ code: FailureCode) async throws {
            try await withRig { rig in
                let configuration = Rig.configuration(mode, "15000", store: .snapshot) {
                    $0.limits.snapshotBytes = 10_000
                    $0.limits.lineBytes = 10_000
                }
                let result = try await rig.once(configuration)
                #expect(result.outcome.failure == code)
                #expect(result.snapshot == nil)
                #expect(!result.workerIsUsable)
            }
        }

        @Test("a snapshot may be larger than any other line")
        func largerThanALine() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("snapshot", "200000", store: .snapshot) {
                    $0.limits.snapshotBytes = 200_000
                    $0.limits.lineBytes = 10_000
                }
                let result = try await rig.once(configuration)
                #expect(result.snapshot == SnapshotUpdate(kind: .base, body: Array(repeating: 0x78, count: 200_000)))
            }
        }

        @Test("a worker that cannot take the conversation's state is not started")
        func cannotHydrate() async throws {
            try await withRig { rig in
                let chain = [Snapshot(seq: 1, parent: 0, kind: .base, body: [1])]
                let error = await #expect(throws: WorkerError.self) {
                    try await rig.start(Rig.configuration("echo", store: .snapshot), chain: chain)
                }
                #expect(error?.message == "the conversation has a snapshot, but the worker cannot take one")
            }
        }
    }
}
