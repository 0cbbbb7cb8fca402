/// Counters, gauges and histograms, rendered in the Prometheus text format
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
///
/// Labels are low in number by contract: an outcome, a code, a route; never something that there are many of.
package final class Metrics: Sendable {
    /// Label names and values, in the order in which they are printed.
    package typealias Labels = [String: String]

    private enum Kind: String {
        case counter, gauge, histogram
    }

    private struct Family {
        let kind: Kind
        let help: String
        var values: [Labels: Double] = [:]
        var histograms: [Labels: Histogram] = [:]
    }

    private struct Histogram {
        var buckets: [Int]
        var sum = 0.0
        var count = 0
    }

    /// Upper bounds in seconds: from a warm hand-over to a long turn.
    private static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

    private let families = Locked<[String: Family]>([:])
    private let collectors = Locked<[@Sendable (Metrics) -> Void]>([])

    package init() {}

    /// Adds `amount` to a counter.
    package func count(_ name: String, _ help: String, labels: Labels = [:], by amount: Double = 1) {
        self.update(name, .counter, help) { $0.values[labels, default: 0] += amount }
    }

    /// Sets a gauge.
    package func set(_ name: String, _ help: String, labels: Labels = [:], to value: Double) {
        self.update(name, .gauge, help) { $0.values[labels] = value }
    }

    /// Records one duration in a histogram of seconds.
    package func observe(_ name: String, _ help: String, labels: Labels = [:], _ duration: Duration) {
        let (whole, attoseconds) = duration.components
        let seconds = Double(whole) + Double(attoseconds) / 1e18
        self.update(name, .histogram, help) { family in
            var histogram =
                family.histograms[labels] ?? Histogram(buckets: [Int](repeating: 0, count: Self.bounds.count))
            if let index = Self.bounds.firstIndex(where: { seconds <= $0 }) { histogram.buckets[index] += 1 }
            histogram.sum += seconds
            histogram.count += 1
            family.histograms[labels] = histogram
        }
    }

    /// Registers a closure that sets gauges just before each rendering.
    package func collect(_ collector: @escaping @Sendable (Metrics) -> Void) {
        self.collectors.withLock { $0.append(collector) }
    }

    /// A counter's or gauge's current value; 0 when never touched.
    package func value(_ name: String, labels: Labels = [:]) -> Double {
        self.families.withLock { $0[name]?.values[labels] ?? 0 }
    }

    /// All metrics as text.
    package func render() -> String {
        for collector in self.collectors.withLock({ $0 }) { collector(self) }
        let families = self.families.withLock { $0 }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
            for (labels, value) in family.values.sorted(by: { Self.format($0.key) < Self.format($1.key) }) {
                text += "\(name)\(Self.format(labels)) \(Self.format(value))\n"
            }
            for (labels, histogram) in family.histograms.sorted(by: { Self.format($0.key) < Self.format($1.key) }) {
                Self.render(histogram, name: name, labels: labels, into: &text)
            }
        }
        return text
    }

    private static func render(_ histogram: Histogram, name: String, labels: Labels, into text: inout String) {
        var cumulative = 0
        for (bound, count) in zip(self.bounds, histogram.buckets) {
            cumulative += count
            let bucket = labels.merging(["le": self.format(bound)]) { _, new in new }
            text += "\(name)_bucket\(self.format(bucket)) \(cumulative)\n"
        }
        let infinity = labels.merging(["le": "+Inf"]) { _, new in new }
        text += "\(name)_bucket\(self.format(infinity)) \(histogram.count)\n"
        text += "\(name)_sum\(self.format(labels)) \(histogram.sum)\n"
        text += "\(name)_count\(self.format(labels)) \(histogram.count)\n"
    }

    private func update(_ name: String, _ kind: Kind, _ help: String, _ body: (inout Family) -> Void) {
        self.families.withLock { families in
            body(&families[name, default: Family(kind: kind, help: help)])
        }
    }

    private static func format(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func format(_ labels: Labels) -> String {
        guard !labels.isEmpty else { return "" }
        let pairs = labels.sorted { $0.key < $1.key }.map { key, value in
            var quoted = ""
            JSONText.append(value, to: &quoted)
            return "\(key)=\(quoted)"
        }
        return "{\(pairs.joined(separator: ","))}"
    }
}
