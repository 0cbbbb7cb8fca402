import Foundation

/// A reproducible source of randomness (SplitMix64: Steele, Lea and Flood, OOPSLA 2014) that says how to have it again.
package struct Seed: RandomNumberGenerator, Sendable {
    /// What the sequence began with.
    package let value: UInt64
    private var state: UInt64

    /// The sequence of `value`.
    package init(_ value: UInt64) {
        self.value = value
        self.state = value
    }

    /// The sequence of `TURNPIKE_TEST_SEED`, else a fresh one; announced on standard error with the name of the `test`.
    package init(for test: String) {
        let given = ProcessInfo.processInfo.environment["TURNPIKE_TEST_SEED"].flatMap { UInt64($0) }
        self.init(given ?? UInt64.random(in: .min ... .max))
        let line = "seed of \"\(test)\": repeat with TURNPIKE_TEST_SEED=\(self.value)\n"
        FileHandle.standardError.write(Data(line.utf8))
    }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var bits = self.state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}
