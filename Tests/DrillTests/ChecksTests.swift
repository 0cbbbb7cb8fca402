import Testing

@testable import turnpike_drill

/// The checks against histories made by hand: a good one, and for each check ones that it must refuse.
@Suite struct ChecksTests {
    /// Two completed turns of one client, each with its events and snapshot, and a whole reading of the log.
    static func good() -> History {
        var conversation = ConversationEvidence(name: "o/a/c")
        conversation.head = 2
        conversation.lastEvent = 6
        conversation.turns = [Self.turn(1, "k1", "~k1\n"), Self.turn(2, "k2", "k1\nk2\n")]
        conversation.events = Self.events("t1", from: 1) + Self.events("t2", from: 4)
        conversation.snapshots = [Self.link(1, after: 0, true, "k1\n"), Self.link(2, after: 1, false, "k2\n")]
        var reading = LogReading(conversation: "o/a/c")
        reading.events = conversation.events
        return History(
            turns: [
                Self.sent("k1", "t1", "~k1\n", at: 0, stream: Self.events("t1", from: 1)),
                Self.sent("k2", "t2", "k1\nk2\n", at: 1),
            ],
            readings: [reading],
            conversations: [conversation]
        )
    }

    private static func turn(_ seq: Int, _ key: String, _ reply: String, _ state: String = "completed") -> TurnEvidence
    {
        let code = state == "failed" ? "worker_exited" : nil
        let outcome = SeenOutcome(state: state, code: code, text: reply)
        return TurnEvidence(turn: "t\(seq)", seq: seq, key: key, state: state, attempt: 1, outcome: outcome)
    }

    private static func events(_ turn: String, from seq: Int, _ state: String = "completed") -> [LoggedEvent] {
        ["turn.queued", "turn.started", "turn.\(state)"].enumerated().map {
            LoggedEvent(seq: seq + $0.offset, type: $0.element, turn: turn)
        }
    }

    private static func link(_ seq: Int, after parent: Int, _ isBase: Bool, _ body: String) -> SnapshotEvidence {
        SnapshotEvidence(seq: seq, parent: parent, isBase: isBase, body: body, epoch: 1, nonce: "n")
    }

    private static func sent(
        _ key: String,
        _ turn: String,
        _ reply: String,
        at second: Int,
        stream: [LoggedEvent]? = nil
    ) -> ClientTurn {
        var sent = ClientTurn(client: "c", conversation: "o/a/c", key: key, begun: .seconds(second))
        sent.turns = [turn]
        sent.seen = [SeenOutcome(state: "completed", code: nil, text: reply)]
        sent.stream = stream
        return sent
    }

    /// The checks that refuse the good history once `change` has been made to it.
    private func refusals(_ change: (inout History) -> Void) -> Set<String> {
        var history = Self.good()
        change(&history)
        return Set(Checks.all(history).map(\.check))
    }

    /// The same once `change` has been made to what is stored, which is also what the reader of its log read.
    private func damaged(_ change: (inout ConversationEvidence) -> Void) -> Set<String> {
        self.refusals { history in
            change(&history.conversations[0])
            history.readings[0].events = history.conversations[0].events
        }
    }

    @Test("a good history has no violation")
    func goodHistory() {
        #expect(Checks.all(Self.good()).isEmpty)
    }

    @Test("a turn that was accepted and is not there is lost, also with its whole conversation")
    func lostAccepts() {
        #expect(
            self.refusals {
                $0.conversations = []; $0.readings = []
            } == ["accepts"]
        )
        #expect(self.refusals { $0.turns.append(Self.sent("k3", "t3", "", at: 2)) }.contains("accepts"))
    }

    @Test("one key that became two turns, and a turn that nobody sent, are refused")
    func doubledAccepts() {
        #expect(self.refusals { $0.turns[1].turns.append("t9") } == ["accepts"])
        #expect(
            self.refusals {
                $0.turns[1].isRefused = true; $0.turns[1].turns = []
            } == []
        )
        #expect(self.refusals { $0.turns[1].turns = [] } == ["accepts"])
        #expect(self.refusals { $0.turns.removeLast() } == ["accepts"])
        #expect(self.refusals { $0.conversations[0].turns.append(Self.turn(3, "k2", "k1\nk2\n")) }.contains("accepts"))
        #expect(self.refusals { $0.turns[0].problem = "time was up" } == ["accepts"])
    }

    @Test("a missing, a second and a contradicted outcome are refused")
    func outcomes() {
        #expect(
            self.damaged({
                $0.events.append(LoggedEvent(seq: 7, type: "turn.failed", turn: "t2")); $0.lastEvent = 7
            }) == ["outcomes"]
        )
        #expect(
            self.refusals { $0.turns[0].seen.append(SeenOutcome(state: "failed", code: "x", text: "")) } == ["outcomes"]
        )
        let open = TurnEvidence(turn: "t2", seq: 2, key: "k2", state: "running", attempt: 1, outcome: nil)
        #expect(self.damaged({ $0.turns[1] = open }).contains("outcomes"))
    }

    @Test("a reply that forgets, reorders or repeats is refused, and so is one with the item of a failed turn")
    func lists() {
        #expect(self.refusals { $0.change(1, reply: "k2\n") }.contains("order"))
        #expect(self.refusals { $0.change(1, reply: "k2\nk1\n") }.contains("order"))
        #expect(self.refusals { $0.change(1, reply: "k1\nk2\nk2\n") }.contains("order"))
        #expect(self.refusals { $0.change(1, reply: "k1\nk0\nk2\n") }.contains("order"))
    }

    @Test("a cancelled turn may have left its item, a failed one may not")
    func unfinishedItems() {
        for (state, expected) in [("cancelled", Set<String>()), ("failed", ["order"])] {
            let found = self.refusals { history in
                history.conversations[0].turns[0] = Self.turn(1, "k1", "", state)
                history.conversations[0].events = Self.events("t1", from: 1, state) + Self.events("t2", from: 4)
                history.turns[0].stream = nil
                history.turns[0].seen = []
                history.readings = []
            }
            #expect(found == expected, "\(state)")
        }
    }

    @Test("a turn that begins before the one ahead has ended, or that overtakes its client's last, is refused")
    func overtaking() {
        let found = self.damaged({ conversation in
            let order = [0, 1, 3, 4, 2, 5]
            conversation.events = order.enumerated().map { place, old in
                let event = conversation.events[old]
                return LoggedEvent(seq: place + 1, type: event.type, turn: event.turn)
            }
        })
        #expect(found.contains("order"))
        var swapped = Self.good()
        swapped.turns[0] = Self.sent("k1", "t1", "~k1\n", at: 5)
        #expect(Set(Checks.all(swapped).map(\.check)) == ["order"])
    }

    @Test("a fork, a gap and a stale term of the snapshot chain are refused")
    func chains() {
        #expect(self.damaged({ $0.snapshots[1] = Self.link(2, after: 0, false, "k2\n") }) == ["chain"])
        #expect(self.damaged({ $0.snapshots.removeLast() }) == ["chain"])
        #expect(self.damaged({ $0.snapshots[1] = Self.link(2, after: 1, true, "k2\n") }) == ["chain"])
        let stale = SnapshotEvidence(seq: 2, parent: 1, isBase: false, body: "k2\n", epoch: 0, nonce: "n")
        #expect(self.damaged({ $0.snapshots[1] = stale }) == ["chain"])
        let other = SnapshotEvidence(seq: 2, parent: 1, isBase: false, body: "k2\n", epoch: 1, nonce: "m")
        #expect(self.damaged({ $0.snapshots[1] = other }) == ["chain"])
    }

    @Test("an event of a turn after the turn's end is refused")
    func lateEvents() {
        let late = LoggedEvent(seq: 7, type: "delta", turn: "t2")
        #expect(
            self.damaged({
                $0.events.append(late)
                $0.lastEvent = 7
            }) == ["events"]
        )
    }

    @Test("a log with a gap is refused, and a stream that missed, repeated or swapped an event")
    func gaps() {
        #expect(self.damaged({ $0.lastEvent = 7 }) == ["events"])
        #expect(self.refusals { $0.turns[0].stream?.remove(at: 1) } == ["streams"])
        #expect(self.refusals { $0.turns[0].stream?.insert(Self.events("t1", from: 1)[0], at: 0) } == ["streams"])
        #expect(self.refusals { $0.readings[0].events.remove(at: 2) } == ["streams"])
        #expect(self.refusals { $0.readings[0].events.swapAt(1, 2) } == ["streams"])
    }

    @Test("a reader that read nothing of a log that has events, not its end, or what is not stored, is refused")
    func readings() {
        #expect(self.refusals { $0.readings[0].events = [] } == ["streams"])
        #expect(self.refusals { $0.readings[0].events.removeLast() } == ["streams"])
        #expect(
            self.refusals {
                $0.conversations = []; $0.turns = []
            } == ["streams"]
        )
    }

    @Test("a run without one of its faults, or without any, is refused")
    func faults() {
        let kinds: [NemesisKind] = [.killReplica, .killWorker]
        #expect(Checks.faults([.killReplica, .killWorker], expected: kinds).isEmpty)
        #expect(Checks.faults([.killReplica], expected: kinds).map(\.message) == ["kill-worker never had its effect"])
        #expect(Checks.faults([.partition], expected: []).isEmpty)
        #expect(Checks.faults([], expected: []).map(\.check) == ["faults"])
    }

    @Test("a list of faults expects each of them, and so does the mix when it has time for all")
    func expectedFaults() throws {
        var options = try Options(programs: ShortDrillTests.programs)
        options.seconds = 1
        func expected(_ kinds: [NemesisKind]) -> [NemesisKind] {
            Run(options: options, name: "", kinds: kinds, seed: 1).expected
        }
        #expect(expected([.killReplica, .partition]) == [.killReplica, .partition])
        #expect(expected(NemesisKind.mix).isEmpty)
        options.seconds = Run.wholeMix
        #expect(expected(NemesisKind.mix) == NemesisKind.allCases)
    }

    @Test("a conversation that is not at rest in the end is refused")
    func rest() {
        #expect(self.damaged({ $0.ties = ["owned by r"] }) == ["rest"])
        #expect(self.damaged({ $0.queued = 1 }) == ["rest"])
    }
}

extension History {
    /// Gives a turn another reply, as database and client agree.
    fileprivate mutating func change(_ index: Int, reply: String) {
        let old = self.conversations[0].turns[index]
        let outcome = SeenOutcome(state: old.state, code: nil, text: reply)
        self.conversations[0].turns[index] = TurnEvidence(
            turn: old.turn,
            seq: old.seq,
            key: old.key,
            state: old.state,
            attempt: 1,
            outcome: outcome
        )
        self.turns[index].seen = [outcome]
    }
}
