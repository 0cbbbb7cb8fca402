import Foundation
import Testing

@testable import Subprocess

@Suite("What is kept of children")
struct KeepingTests {
    private struct Weak {
        weak var process: Process?
    }

    @Test("nothing is kept of a child that has ended, and that nobody holds any more")
    func ended() async throws {
        let spawner = try Fixture.spawner.get()
        var processes: [Weak] = []
        for script in ["exit 3", "exec sleep 60", "kill -9 $$"] {
            let child = try await spawner.start(Fixture.shell(script))
            processes.append(Weak(process: await child.spawned.process))
            await child.end(.immediate)
        }
        #expect(await Fixture.eventually { processes.allSatisfy { $0.process == nil } })
    }
}
