/// Tables for people.
enum Report {
    static func line(_ report: RunReport) -> String {
        let faults = report.faults.sorted { $0.key.rawValue < $1.key.rawValue }
            .map { "\($0.key.rawValue) \($0.value)" }.joined(separator: ", ")
        return
            "\(report.name.padded(20)) seed \(String(report.seed).padded(20)) turns \(String(report.turns).padded(6)) "
            + "completed \(String(report.completed).padded(6)) violations \(String(report.violations.count).padded(4)) "
            + "faults: \(faults.isEmpty ? "none" : faults)"
    }

    /// Recovery times over several runs.
    static func recoveries(_ reports: [RunReport]) -> String {
        var all: [String: [Duration]] = [:]
        for report in reports { all.merge(report.recoveries) { $0 + $1 } }
        let rows = all.sorted { $0.key < $1.key }.map { "  \($0.key.padded(44)) \(Distribution($0.value))" }
        return "recovery times\n" + rows.joined(separator: "\n")
    }

    /// The fault points that were reached.
    static func points(_ reports: [RunReport]) -> String {
        var all: [String: Int] = [:]
        for report in reports { all.merge(report.points, uniquingKeysWith: +) }
        return "fault points reached: "
            + all.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    /// The violations of a run, and the history of the first conversation that has one.
    static func violations(_ report: RunReport) -> String {
        var lines = report.violations.prefix(20).map { "  \($0)" }
        if let name = report.violations.first(where: { !$0.conversation.isEmpty })?.conversation {
            lines.append("the history of \(name):")
            lines += Self.history(name, report.history).map { "    \($0)" }
        }
        return lines.joined(separator: "\n")
    }

    private static func history(_ name: String, _ history: History) -> [String] {
        guard let conversation = history.conversations.first(where: { $0.name == name }) else { return ["not stored"] }
        let keys = Dictionary(
            conversation.turns.map { ($0.turn, $0.key ?? "?") },
            uniquingKeysWith: { first, _ in first }
        )
        let turns = conversation.turns.map { turn in
            let list = ItemList.items(turn.outcome?.text ?? "")
            return "turn \(turn.seq) \(turn.key ?? "?") \(turn.state) \(turn.outcome?.code ?? "") run \(turn.attempt), "
                + "\(list.count) items ending \(list.suffix(2))"
        }
        let links = conversation.snapshots.map {
            "snapshot \($0.seq) after \($0.parent), epoch \($0.epoch), \($0.isBase ? "base" : "delta") "
                + "\(ItemList.items($0.body).suffix(2))"
        }
        let events = conversation.events.filter { $0.type != "delta" }.map {
            "event \($0.seq) \($0.type) \(keys[$0.turn] ?? $0.turn)"
        }
        let clients = history.turns.filter { $0.conversation == name }.sorted { $0.begun < $1.begun }.map {
            "client \($0.begun.inMilliseconds) ms \($0.key): \($0.answers.suffix(6)) \($0.seen.map(\.state)) "
                + "\($0.problem ?? "")"
        }
        return turns.suffix(40) + links.suffix(20) + events.suffix(60) + clients.suffix(40)
    }
}

extension String {
    fileprivate func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - self.count))
    }
}
