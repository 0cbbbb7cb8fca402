import Testing

@testable import Subprocess

@Suite("Decisions about children")
struct MachineTests {
    @Test("a teardown takes its steps in order and always ends with the kill")
    func order() {
        var machine = TeardownMachine()
        let teardown = Teardown(afterInput: .seconds(1), afterTerminate: .seconds(2))
        #expect(machine.begin(teardown) == [.closeInput, .wait(.seconds(1))])
        #expect(machine.graceEnded() == [.terminate, .wait(.seconds(2))])
        #expect(machine.graceEnded() == [.kill, .wait(TeardownMachine.patience)])
        #expect(machine.graceEnded() == [.abandon])
        #expect(machine.graceEnded().isEmpty)
    }

    @Test("a second teardown changes nothing, a kill overtakes it once")
    func overtaken() {
        var machine = TeardownMachine()
        _ = machine.begin(.default)
        #expect(machine.begin(.immediate).isEmpty)
        #expect(machine.kill() == [.kill, .wait(TeardownMachine.patience)])
        #expect(machine.kill().isEmpty)
    }

    @Test("nothing is done to a child that has ended")
    func over() {
        var machine = TeardownMachine()
        #expect(machine.exited() == [.stopWaiting])
        #expect(machine.begin(.default).isEmpty)
        #expect(machine.kill().isEmpty)
        #expect(machine.graceEnded().isEmpty)
    }

    @Test("lines are the same however the bytes arrive")
    func lines() {
        var random = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: .min ... .max, using: &random)
        var generator = Seeded(state: seed)
        for _ in 0..<200 {
            let text = (0..<Int.random(in: 0...300, using: &generator)).map { _ in
                UInt8.random(in: 8...11, using: &generator)
            }
            var buffer = OutputBuffer(.lines(maximumBytes: 300))
            var lines: [[UInt8]] = []
            var rest = text[...]
            while !rest.isEmpty {
                let chunk = Array(rest.prefix(Int.random(in: 1...40, using: &generator)))
                rest = rest.dropFirst(chunk.count)
                chunk.withUnsafeBytes { buffer.append($0) }
                if Bool.random(using: &generator) { Self.take(&buffer, into: &lines) }
            }
            buffer.end()
            Self.take(&buffer, into: &lines)
            var expected = text.split(separator: 10, omittingEmptySubsequences: false).map(Array.init)
            if expected.last?.isEmpty == true { expected.removeLast() }
            #expect(lines == expected, "seed \(seed)")
        }
    }

    @Test("the buffer never has room for more than its capacity and one line")
    func room() {
        var buffer = OutputBuffer(.lines(maximumBytes: 100))
        #expect(buffer.room == OutputBuffer.capacity + 101)
        [UInt8](repeating: 10, count: buffer.room).withUnsafeBytes { buffer.append($0) }
        #expect(buffer.room == 0)
        _ = buffer.next()
        #expect(buffer.room == 1)
    }

    private static func take(_ buffer: inout OutputBuffer, into lines: inout [[UInt8]]) {
        while case .output(.line(let line)) = buffer.next() { lines.append(line) }
    }
}

/// SplitMix64 (https://prng.di.unimi.it/splitmix64.c), so that a failure can be repeated.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (self.state ^ (self.state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
