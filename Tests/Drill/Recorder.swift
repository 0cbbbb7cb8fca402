import Runtime

/// What happened in one run, beside what clients and the database say.
final class Recorder: Sendable {
    private struct State {
        var faults: [NemesisKind: Int] = [:]
        var recoveries: [String: [Duration]] = [:]
        var violations: [Violation] = []
        var points: [String: Int] = [:]
    }

    private let state = Locked(State())

    /// A fault had its effect, so often.
    func fired(_ fault: NemesisKind, _ count: Int = 1) {
        self.state.withLock { $0.faults[fault, default: 0] += count }
    }

    func recovered(_ what: String, after duration: Duration) {
        self.state.withLock { $0.recoveries[what, default: []].append(duration) }
    }

    /// A fault point did what was asked of it.
    func reached(_ point: String) {
        self.state.withLock { $0.points[point, default: 0] += 1 }
    }

    func violated(_ check: String, _ message: String) {
        let violation = Violation(check: check, conversation: "", message: message)
        self.state.withLock { $0.violations.append(violation) }
    }

    /// The faults that had their effect so far.
    var fired: Set<NemesisKind> { Set(self.faults.filter { $0.value > 0 }.keys) }
    var faults: [NemesisKind: Int] { self.state.withLock { $0.faults } }
    var recoveries: [String: [Duration]] { self.state.withLock { $0.recoveries } }
    var points: [String: Int] { self.state.withLock { $0.points } }
    var violations: [Violation] { self.state.withLock { $0.violations } }
}

/// The durations of one kind of recovery.
struct Distribution: Sendable, CustomStringConvertible {
    private let sorted: [Duration]

    init(_ durations: [Duration]) {
        self.sorted = durations.sorted()
    }

    /// The smallest duration that so large a part of all does not exceed.
    func quantile(_ part: Double) -> Duration {
        guard !self.sorted.isEmpty else { return .zero }
        let place = Int((Double(self.sorted.count) * part).rounded(.up)) - 1
        return self.sorted[min(max(place, 0), self.sorted.count - 1)]
    }

    var description: String {
        let parts = [0.5, 0.99, 1].map { self.quantile($0).inMilliseconds }
        return "n \(self.sorted.count), p50 \(parts[0]), p99 \(parts[1]), max \(parts[2]) ms"
    }
}

extension Duration {
    var inMilliseconds: Int { Int(self / .milliseconds(1)) }
}
