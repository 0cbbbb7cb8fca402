/// Why a worker is replaced between two turns although nothing is wrong with it.
package enum Recycling: String, Sendable, Hashable, CaseIterable {
    /// It has lived for the agent's `age_seconds`.
    case age
    /// Its process tree holds more than the agent's `resident_bytes`.
    case memory

    /// Decides for a worker of this age; `residentBytes` is asked only where there is a bound.
    package static func decide(age: Duration, limits: AgentLimits, residentBytes: () -> Int) -> Recycling? {
        if let most = limits.ageSeconds, age >= .seconds(most) { return .age }
        if let most = limits.residentBytes, residentBytes() > most { return .memory }
        return nil
    }
}
