/// A bounded, jittered, exponential delay.
package struct Backoff: Sendable {
    /// The delay before the first retry, without jitter.
    package let first: Duration
    /// No delay is longer than this.
    package let longest: Duration

    package init(first: Duration, longest: Duration) {
        self.first = first
        self.longest = longest
    }

    /// The delay before retry number `attempt` (0 is the first): doubled each time, bounded, then jittered to between
    /// half and all of it, so that a crowd that failed together does not return together.
    package func delay(attempt: Int, using random: inout some RandomNumberGenerator) -> Duration {
        let doubled = self.first * (1 << min(max(attempt, 0), 20))
        let bounded = min(doubled, self.longest)
        return bounded * Double.random(in: 0.5...1, using: &random)
    }

    /// The same with the system's randomness.
    package func delay(attempt: Int) -> Duration {
        var random = SystemRandomNumberGenerator()
        return self.delay(attempt: attempt, using: &random)
    }
}

extension Duration {
    fileprivate static func * (duration: Duration, factor: Int) -> Duration {
        duration * Double(factor)
    }
}
