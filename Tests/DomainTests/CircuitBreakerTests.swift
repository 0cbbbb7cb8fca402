import Domain
import Testing

@Suite("Circuit breaker")
struct CircuitBreakerTests {
    private let start = ContinuousClock.now
    private let limits = Limits()

    private func failing(_ times: Int) -> CircuitBreaker {
        var breaker = CircuitBreaker(self.limits)
        for number in 0..<times { breaker.failed("error \(number)", at: self.start, jitter: 1) }
        return breaker
    }

    @Test("it takes a few failures in a row to open it, and a turn that works begins anew")
    func opens() {
        var breaker = self.failing(2)
        let may1 = breaker.mayStart(at: self.start)
        #expect(may1)
        breaker.proved()
        #expect(breaker.lastError == nil)
        breaker.failed("a", at: self.start, jitter: 1)
        breaker.failed("b", at: self.start, jitter: 1)
        let may2 = breaker.mayStart(at: self.start)
        #expect(may2)
        breaker.failed("c", at: self.start, jitter: 1)
        let may3 = breaker.mayStart(at: self.start)
        #expect(!may3)
        #expect(breaker.lastError == "c")
    }

    @Test("the delay doubles with each failure, up to the longest, and jitter spreads it")
    func grows() {
        let delays = (3...12).map { self.failing($0).openUntil.map { $0 - self.start } ?? .zero }
        #expect(delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map { Duration.seconds($0) })
        var breaker = self.failing(2)
        breaker.failed("x", at: self.start, jitter: 0.5)
        #expect(breaker.openUntil == self.start + .milliseconds(500))
    }

    @Test("after the delay one start is a probe and the others wait; one that is never heard of keeps nobody for long")
    func probes() {
        var breaker = self.failing(3)
        let later = self.start + .seconds(1)
        let may4 = breaker.mayStart(at: later - .milliseconds(1))
        #expect(!may4)
        let may5 = breaker.mayStart(at: later)
        #expect(may5)
        let may6 = breaker.mayStart(at: later)
        #expect(!may6)
        let may7 = breaker.mayStart(at: later + .seconds(1))
        #expect(may7)
    }

    @Test("a start that succeeds closes it on probation: the next failure opens it at once, for longer")
    func probation() {
        var breaker = self.failing(3)
        breaker.started()
        let may8 = breaker.mayStart(at: self.start)
        #expect(may8)
        let may9 = breaker.mayStart(at: self.start)
        #expect(may9)
        breaker.failed("again", at: self.start, jitter: 1)
        #expect(breaker.openUntil == self.start + .seconds(2))
    }

    @Test("a worker is recycled for its age or its memory, and memory is looked at only where there is a bound")
    func recycling() {
        var limits = AgentLimits()
        var asked = 0
        func decide(_ seconds: Int, _ bytes: Int) -> Recycling? {
            Recycling.decide(age: .seconds(seconds), limits: limits) {
                asked += 1
                return bytes
            }
        }
        #expect(decide(1_000_000, .max) == nil)
        #expect(asked == 0)
        limits.ageSeconds = 60
        limits.residentBytes = 1 << 30
        #expect(decide(59, 1 << 30) == nil)
        #expect(decide(60, 0) == .age)
        #expect(decide(59, 1 << 30 + 1) == .memory)
    }
}
