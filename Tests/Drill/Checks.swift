/// What must be true of every history. Pure: values in, violations out.
enum Checks {
    static func all(_ history: History) -> [Violation] {
        let turns = Dictionary(grouping: history.turns, by: \.conversation)
        let readings = Dictionary(grouping: history.readings, by: \.conversation)
        let known = Set(history.conversations.map(\.name))
        var found: [Violation] = []
        for name in Set(turns.keys).union(readings.keys).subtracting(known).sorted() {
            let nothing = ConversationEvidence(name: name)
            found += Self.accepts(nothing, turns[name] ?? []) + Self.streams(nothing, [], readings[name] ?? [])
        }
        for conversation in history.conversations {
            let log = turns[conversation.name] ?? []
            found += Self.accepts(conversation, log) + Self.outcomes(conversation, log)
            found += Self.order(conversation, log) + Self.chain(conversation) + Self.events(conversation)
            found += Self.streams(conversation, log, readings[conversation.name] ?? []) + Self.rest(conversation)
        }
        return found
    }

    /// No turn that was accepted is missing, none was accepted twice, none was made up, and all were accepted in the end.
    static func accepts(_ conversation: ConversationEvidence, _ log: [ClientTurn]) -> [Violation] {
        var found: [String] = []
        let rows = Dictionary(grouping: conversation.turns, by: { $0.key ?? "" })
        for (key, turns) in rows where turns.count > 1 {
            found.append("\(key) was accepted \(turns.count) times")
        }
        let keys = Set(log.map(\.key))
        for turn in conversation.turns where !keys.contains(turn.key ?? "") {
            found.append("turn \(turn.turn) was sent by nobody")
        }
        for sent in log {
            let row = rows[sent.key]?.first
            if Set(sent.turns).count > 1 { found.append("\(sent.key) became the turns \(sent.turns)") }
            if let told = sent.turns.first, row?.turn != told {
                found.append("\(sent.key) was accepted as \(told) and is \(row?.turn ?? "lost")")
            }
            if sent.turns.isEmpty, !sent.isRefused {
                found.append(
                    "\(sent.key) was never accepted: \(sent.problem ?? "no reason"), \(sent.answers.suffix(5))"
                )
            } else if let problem = sent.problem {
                found.append("\(sent.key) was given up: \(problem)")
            }
        }
        return found.map { Violation(check: "accepts", conversation: conversation.name, message: $0) }
    }

    /// One outcome each: in the database, in the log, and in everything that clients read.
    static func outcomes(_ conversation: ConversationEvidence, _ log: [ClientTurn]) -> [Violation] {
        var found: [String] = []
        let ends = Dictionary(grouping: conversation.events.filter(\.isTerminal), by: \.turn)
        let seen = Dictionary(grouping: log, by: \.key)
        for turn in conversation.turns {
            let name = turn.key ?? turn.turn
            guard let outcome = turn.outcome else {
                found.append("\(name) has no outcome and is \(turn.state)")
                continue
            }
            if outcome.state != turn.state { found.append("\(name) is \(turn.state) and its outcome \(outcome.state)") }
            let types = (ends[turn.turn] ?? []).map(\.type)
            if types != ["turn.\(outcome.state)"] { found.append("\(name) is \(outcome.state), its log ends \(types)") }
            for other in (seen[name] ?? []).flatMap(\.seen) where other != outcome {
                found.append("\(name) was read as \(other) and is \(outcome)")
            }
        }
        return found.map { Violation(check: "outcomes", conversation: conversation.name, message: $0) }
    }

    /// Turns run one after another in the order of acceptance, and each reply is the list of the one before with its own
    /// item at the end. Of what did not complete, only a cancelled turn may have left its item.
    static func order(_ conversation: ConversationEvidence, _ log: [ClientTurn]) -> [Violation] {
        var found: [String] = []
        var before: [String] = []
        var mayAppear: Set<String> = []
        for turn in conversation.turns {
            let key = turn.key ?? ""
            if turn.state == "cancelled" { mayAppear.insert(key) }
            guard turn.state == "completed", let outcome = turn.outcome else { continue }
            let list = ItemList.items(outcome.text)
            if !list.starts(with: before) {
                found.append("\(key) forgot: \(Self.difference(list, before))")
            } else if list.last != key {
                found.append("\(key) does not end its own list: \(list.suffix(3))")
            } else if let stray = list.dropFirst(before.count).dropLast().first(where: { !mayAppear.contains($0) }) {
                found.append("\(key) has \(stray), which did not complete")
            }
            if Set(list).count != list.count { found.append("\(key) has an item twice") }
            before = list
        }
        found += Self.overlaps(conversation) + Self.overtakings(conversation, log)
        return found.map { Violation(check: "order", conversation: conversation.name, message: $0) }
    }

    private static func difference(_ list: [String], _ before: [String]) -> String {
        let place = zip(list, before).prefix { $0 == $1 }.count
        return "item \(place + 1) was \(before[place]), now \(place < list.count ? list[place] : "nothing")"
    }

    /// No run begins before the turn ahead has ended.
    private static func overlaps(_ conversation: ConversationEvidence) -> [String] {
        let order = Dictionary(conversation.turns.map { ($0.turn, $0.seq) }, uniquingKeysWith: { first, _ in first })
        var ended = Set<Int>()
        // The first that has not ended.
        var open = 1
        return conversation.events.compactMap { event in
            guard let seq = order[event.turn] else { return "event \(event.seq) is of no turn" }
            if event.isTerminal { ended.insert(seq) }
            while ended.contains(open) { open += 1 }
            guard event.type == "turn.started", open < seq else { return nil }
            return "turn \(seq) started before turn \(open) had ended"
        }
    }

    /// What one client sent after its turn before was over has the greater number.
    private static func overtakings(_ conversation: ConversationEvidence, _ log: [ClientTurn]) -> [String] {
        let numbers = Dictionary(
            conversation.turns.map { ($0.key ?? "", $0.seq) },
            uniquingKeysWith: { first, _ in first }
        )
        return Dictionary(grouping: log, by: \.client).values.flatMap { turns in
            let sent = turns.sorted { $0.begun < $1.begun }.filter { numbers[$0.key] != nil }
            return zip(sent, sent.dropFirst()).compactMap { first, second in
                (numbers[first.key] ?? 0) < (numbers[second.key] ?? 0)
                    ? nil : "\(second.key) was sent after \(first.key) and stands before it"
            }
        }
    }

    /// The snapshots are one chain without a fork up to the head, say what the replies say, and each belongs to a term
    /// that follows the one before.
    static func chain(_ conversation: ConversationEvidence) -> [Violation] {
        var found: [String] = []
        var before = 0
        var list: [String] = []
        var term = (epoch: 0, nonce: "")
        let replies = Dictionary(
            conversation.turns.map { ($0.seq, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for link in conversation.snapshots {
            if link.parent != before { found.append("snapshot \(link.seq) follows \(link.parent), not \(before)") }
            let items = ItemList.items(link.body)
            list = link.isBase ? items : list + items
            if let turn = replies[link.seq], turn.state == "completed", let outcome = turn.outcome,
                ItemList.items(outcome.text) != list
            {
                found.append("snapshot \(link.seq) ends \(list.suffix(3)), the reply does not")
            }
            if link.epoch < term.epoch || (link.epoch == term.epoch && link.nonce != term.nonce) {
                found.append("snapshot \(link.seq) was written under epoch \(link.epoch) after \(term.epoch)")
            }
            term = (link.epoch, link.nonce)
            before = link.seq
        }
        if conversation.head != before { found.append("the head is \(conversation.head), the chain ends at \(before)") }
        let stored = Set(conversation.snapshots.map(\.seq))
        for turn in conversation.turns where turn.state == "completed" && !stored.contains(turn.seq) {
            found.append("turn \(turn.seq) completed without a snapshot")
        }
        return found.map { Violation(check: "chain", conversation: conversation.name, message: $0) }
    }

    /// The log's numbers have no gap, and nothing of a turn comes after its end.
    static func events(_ conversation: ConversationEvidence) -> [Violation] {
        var found: [String] = []
        let numbers = conversation.events.map(\.seq)
        if numbers != Array(1..<(conversation.lastEvent + 1)) {
            let gap = zip(numbers, 1...).first { $0 != $1 }.map { "\($0)" } ?? "end"
            found.append("the log has \(numbers.count) of \(conversation.lastEvent) events; \(gap)")
        }
        var ended: Set<String> = []
        for event in conversation.events {
            // A second end is the outcomes' matter.
            if ended.contains(event.turn), !event.isTerminal {
                found.append("event \(event.seq), \(event.type), came after the end of its turn")
            }
            if event.isTerminal { ended.insert(event.turn) }
        }
        return found.map { Violation(check: "events", conversation: conversation.name, message: $0) }
    }

    /// Every stream, however often it was resumed, had each event once and in order, and every reader read the whole log.
    static func streams(
        _ conversation: ConversationEvidence,
        _ log: [ClientTurn],
        _ readings: [LogReading]
    ) -> [Violation] {
        var found: [String] = []
        let byTurn = Dictionary(grouping: conversation.events, by: \.turn)
        for sent in log {
            guard let stream = sent.stream, let turn = sent.turns.first, sent.problem == nil else { continue }
            let events = byTurn[turn] ?? []
            guard let end = events.firstIndex(where: \.isTerminal) else { continue }
            let expected = Array(events[...end])
            if stream != expected {
                found.append("the stream of \(sent.key) (\(sent.connections)): \(Self.first(stream, expected))")
            }
        }
        for reading in readings where reading.events != conversation.events {
            let difference = Self.first(reading.events, conversation.events)
            found.append("a reader of the log (\(reading.connections)): \(difference)")
        }
        return found.map { Violation(check: "streams", conversation: conversation.name, message: $0) }
    }

    private static func first(_ read: [LoggedEvent], _ expected: [LoggedEvent]) -> String {
        let place = zip(read, expected).prefix { $0 == $1 }.count
        let (had, wanted) = (read.dropFirst(place).first, expected.dropFirst(place).first)
        return "at \(place) it had \(had.map { "\($0)" } ?? "nothing") and not \(wanted.map { "\($0)" } ?? "nothing")"
    }

    /// Something failed, and each fault that the run is about did.
    static func faults(_ fired: Set<NemesisKind>, expected: [NemesisKind]) -> [Violation] {
        let missing = expected.filter { !fired.contains($0) }.map { "\($0.rawValue) never had its effect" }
        let nothing = fired.isEmpty && missing.isEmpty ? ["no fault had its effect"] : []
        return (missing + nothing).map { Violation(check: "faults", conversation: "", message: $0) }
    }

    /// In the end nothing is queued, running, owned or claimed.
    static func rest(_ conversation: ConversationEvidence) -> [Violation] {
        var ties = conversation.ties
        if conversation.queued != 0 { ties.append("\(conversation.queued) queued") }
        return ties.map { Violation(check: "rest", conversation: conversation.name, message: $0) }
    }
}
