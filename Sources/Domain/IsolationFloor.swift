/// What whoever runs a replica asks of every worker's isolation, whatever its agent's configuration says.
package struct IsolationFloor: Sendable, Hashable {
    /// No worker has a weaker profile.
    package var least: Isolation
    /// Below one of these everything must be that an agent shows its workers; empty for anywhere.
    package var readable: [String]
    /// Nothing of these is shown, nor anything that they are in.
    package var hidden: [String]

    package init(least: Isolation = .none, readable: [String] = [], hidden: [String] = []) {
        self.least = least
        self.readable = readable
        self.hidden = hidden
    }

    /// Why no worker of this configuration is started: a member's path and a sentence; nil when it may be. `resolve` gives
    /// the place that a path leads to.
    package func problem(
        of configuration: AgentConfiguration,
        resolve: (String) -> String = { $0 }
    ) -> (member: String, problem: String)? {
        // Nothing of it is started here.
        guard configuration.driver != .remote else { return nil }
        guard configuration.isolation.strength >= self.least.strength else {
            return ("isolation", "must be at least \(self.least.rawValue), which this gateway's operator has set")
        }
        let (hidden, readable) = (self.hidden + self.hidden.map(resolve), self.readable + self.readable.map(resolve))
        for path in configuration.readOnlyPaths {
            let place = resolve(path)
            if hidden.contains(where: { Self.holds($0, place) || Self.holds(place, $0) }) {
                return ("read_only_paths", "must not show workspaces or the gateway's own files, as \(path) would")
            }
            if !readable.isEmpty, !readable.contains(where: { Self.holds($0, place) }) {
                let names = self.readable.joined(separator: ", ")
                return ("read_only_paths", "must be in \(names), which this gateway's operator has set")
            }
        }
        return nil
    }

    /// Whether `inner` is `outer` or below it.
    private static func holds(_ outer: String, _ inner: String) -> Bool {
        PathParts.of(inner).filter { !$0.isEmpty }.starts(with: PathParts.of(outer).filter { !$0.isEmpty })
    }
}

extension Isolation {
    /// Greater for a profile that keeps a worker further from its host.
    fileprivate var strength: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
