import Domain
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    @Suite struct FigureTests {
        @Test("a start and a first word come soon")
        func figures() async throws {
            try await withRig { rig in
                var starts: [Duration] = []
                var words: [Duration] = []
                for _ in 0..<20 {
                    let begin = ContinuousClock.now
                    let worker = try await rig.start(Rig.configuration("echo"))
                    starts.append(ContinuousClock.now - begin)
                    for _ in 0..<5 {
                        let asked = ContinuousClock.now
                        let first = Locked<Duration?>(nil)
                        _ = await worker.perform(
                            try Rig.turn(),
                            wantsBase: true,
                            ask: { _ in .cancelled },
                            emit: { event in
                                guard case .delta = event else { return }
                                first.withLock { $0 = $0 ?? (ContinuousClock.now - asked) }
                            }
                        )
                        words.append(try #require(first.withLock { $0 }))
                    }
                    Rig.drop(await worker.end())
                }
                let start = starts.sorted()[starts.count / 2]
                let word = words.sorted()[words.count / 2]
                Attachment.record("start p50 \(start), prompt to first delta p50 \(word)", named: "figures.txt")
                #expect(start < .seconds(5), "start p50 \(start)")
                #expect(word < .seconds(1), "first word p50 \(word)")
            }
        }
    }
}
