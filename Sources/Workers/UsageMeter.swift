import Domain

/// Tells what one turn used from what a worker reports: some agents report the turn's own figures, others their
/// session's totals. What was reported is kept beside what is told, as `reported`, wherever the two differ.
struct UsageMeter: Sendable {
    private let mode: UsageMode
    /// What was reported last.
    private var last: JSONValue?
    /// `last` is from an earlier process, whose totals this one may or may not go on with.
    private var isInherited = false
    /// A figure has not grown, so none is a total.
    private var hasShrunk = false
    /// The session's cost as it was reported last, and as it was when the turn began.
    private var cost = 0.0
    private var costBefore = 0.0

    init(mode: UsageMode) {
        self.mode = mode
    }

    /// The session goes on from an earlier process, whose last turn told `usage`.
    mutating func inherit(_ usage: JSONValue?) {
        guard let usage else { return }
        self.last = Self.merge(usage, usage["reported"])
        self.isInherited = true
        self.cost = Self.amount(self.last) ?? 0
    }

    /// A turn begins.
    mutating func begin() {
        self.costBefore = self.cost
    }

    /// A report within or between turns: the context's size as it is, and the session's cost, which is a total.
    mutating func progress(_ reported: JSONValue) -> JSONValue {
        guard let amount = Self.amount(reported) else { return reported }
        self.cost = amount
        guard self.mode != .perTurn, self.costBefore > 0, amount >= self.costBefore else { return reported }
        guard case .object(var members) = reported, case .object(var cost)? = members["cost"] else { return reported }
        members["reported"] = ["cost": .object(cost)]
        cost["amount"] = .number(((amount - self.costBefore) * 1e9).rounded() / 1e9)
        members["cost"] = .object(cost)
        return .object(members)
    }

    /// The report at a turn's end.
    mutating func turn(_ reported: JSONValue) -> JSONValue {
        guard case .object = reported, self.mode != .perTurn else { return reported }
        defer {
            self.last = reported
            self.isInherited = false
        }
        guard let last = self.last, !self.hasShrunk else { return reported }
        guard Self.hasGrown(reported, since: last) || (self.mode == .cumulative && reported == last) else {
            // Totals begin anew when their counter does; who is sure that they are totals goes on with them.
            self.hasShrunk = self.mode == .auto && !self.isInherited
            return reported
        }
        guard case .object(var members) = Self.difference(reported, last) else { return reported }
        members["reported"] = reported
        return .object(members)
    }

    /// Whether every figure is at least what it was, and one is more.
    private static func hasGrown(_ now: JSONValue, since before: JSONValue) -> Bool {
        let pairs = Self.figures(before).map { ($0.value, Self.figures(now)[$0.key]) }
        guard pairs.allSatisfy({ before, now in now.map { $0 >= before } ?? false }) else { return false }
        return pairs.contains { before, now in now.map { $0 > before } ?? false }
    }

    /// Every number by its path.
    private static func figures(_ value: JSONValue, at path: String = "") -> [String: Double] {
        switch value {
        case .integer(let number): return [path: Double(number)]
        case .number(let number): return [path: number]
        case .object(let members):
            return members.reduce(into: [:]) { figures, member in
                figures.merge(Self.figures(member.value, at: "\(path)/\(member.key)")) { $1 }
            }
        default: return [:]
        }
    }

    private static func difference(_ now: JSONValue, _ before: JSONValue?) -> JSONValue {
        switch (now, before) {
        case (.integer(let now), .integer(let before)): .integer(now &- before)
        case (.number(let now), .number(let before)): .number(now - before)
        case (.object(let now), .object(let before)):
            .object(Dictionary(uniqueKeysWithValues: now.map { ($0, Self.difference($1, before[$0])) }))
        default: now
        }
    }

    private static func merge(_ usage: JSONValue, _ reported: JSONValue?) -> JSONValue {
        guard case .object(var members) = usage, case .object(let raw)? = reported else { return usage }
        members["reported"] = nil
        return .object(members.merging(raw) { _, raw in raw })
    }

    private static func amount(_ usage: JSONValue?) -> Double? {
        switch usage?["cost"]?["amount"] {
        case .integer(let number): Double(number)
        case .number(let number): number
        default: nil
        }
    }
}
