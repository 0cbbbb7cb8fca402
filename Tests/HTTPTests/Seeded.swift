import Glibc

/// Random numbers that a printed seed repeats (SplitMix64, Steele et al. 2014). `HTTP_TEST_SEED` sets the seed.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(label: String) {
        let given = getenv("HTTP_TEST_SEED").flatMap { UInt64(String(cString: $0)) }
        let seed = given ?? UInt64.random(in: 0...UInt64.max)
        self.state = seed
        let line = "\(label): HTTP_TEST_SEED=\(seed)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, line.utf8.count) }
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
