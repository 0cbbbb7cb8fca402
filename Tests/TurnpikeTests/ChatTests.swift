import Testing

@testable import turnpike

@Suite("The chat's events")
struct ChatTests {
    /// As the gateway sends it: comments, tools, a retry, a terminal event with the whole reply.
    private static let recorded = """
        : hello

        id: 1
        event: turn.queued
        data: {"seq":1,"turn":"t1","at":"2026-01-01T00:00:00Z"}

        id: 2
        event: turn.started
        data: {"attempt":1,"seq":2,"turn":"t1"}

        id: 3
        event: delta
        data: {"text":"Hel","seq":3,"turn":"t1"}

        id: 4
        event: tool
        data: {"id":"x","name":"Look it up","status":"in_progress","seq":4,"turn":"t1"}

        id: 5
        event: tool
        data: {"id":"x","name":"Look it up","status":"in_progress","seq":5,"turn":"t1"}

        id: 6
        event: delta
        data: {"text":"lo","seq":6,"turn":"t1"}

        id: 7
        event: turn.completed
        data: {"reply":"Hello","stop_reason":"end_turn","seq":7,"turn":"t1"}


        """

    private func events(_ text: String) -> [StreamedEvent] {
        var parser = EventStreamParser()
        return parser.take(text.utf8)
    }

    private func render(_ events: [StreamedEvent], _ style: ChatRenderer.Style) -> (ChatRenderer, String, String) {
        var renderer = ChatRenderer(style: style)
        var (text, notice) = ("", "")
        for event in events {
            let output = renderer.take(event)
            text += output.text
            notice += output.notice
        }
        return (renderer, text, notice)
    }

    @Test("a recorded stream becomes the same events in pieces of any size", arguments: [1, 2, 3, 7, 64, 10_000])
    func pieces(size: Int) {
        for newline in ["\n", "\r\n", "\r"] {
            var parser = EventStreamParser()
            let bytes = Array(Self.recorded.replacing("\n", with: newline).utf8)
            var events: [StreamedEvent] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                events += parser.take(bytes[start..<min(start + size, bytes.count)])
            }
            #expect(events == self.events(Self.recorded))
            #expect(events.count == 7)
            #expect(events.last?.id == "7")
        }
    }

    @Test("data of several lines is joined, comments and events without data are dropped")
    func framing() {
        let events = self.events(": c\ndata: a\ndata:b\nid: 9\n\nevent: x\n\ndata\n\n")
        #expect(events == [StreamedEvent(data: "a\nb", id: "9"), StreamedEvent()])
    }

    @Test("a script gets the reply and nothing else")
    func plain() {
        let (renderer, text, notice) = self.render(self.events(Self.recorded), .plain)
        #expect(text == "Hello\n")
        #expect(notice.isEmpty)
        #expect(renderer.ending == .completed)
        #expect(renderer.turn == "t1")
        #expect(renderer.lastEventID == "7")
    }

    @Test("a person sees the words as they come, and each change of a tool once, dimmed")
    func terminal() {
        let (_, text, _) = self.render(self.events(Self.recorded), .terminal)
        #expect(text == "Hel\n\u{1B}[2m· Look it up: in_progress\u{1B}[0m\nlo\n")
    }

    @Test("what a lost connection swallowed shows with the last event")
    func gap() {
        let events = self.events(Self.recorded).filter { $0.id != "6" && $0.type != "tool" }
        let (_, text, _) = self.render(events, .terminal)
        #expect(text == "Hello\n")
    }

    @Test("after a retry the reply starts afresh")
    func retry() {
        let events = self.events(
            """
            event: delta
            data: {"text":"Wrong","turn":"t"}

            event: turn.retried
            data: {"code":"worker_exited","message":"it died","turn":"t"}

            event: delta
            data: {"text":"Right","turn":"t"}

            event: turn.completed
            data: {"reply":"Right","turn":"t"}


            """
        )
        #expect(self.render(events, .terminal).1 == "Wrong\n\u{1B}[2m· trying again: it died\u{1B}[0m\nRight\n")
        #expect(self.render(events, .plain).1 == "Right\n")
    }

    @Test("a wait for an account and a move to another one are told beside the reply")
    func accounts() {
        let events = self.events(
            """
            event: waiting_account
            data: {"provider":"example","turn":"t"}

            event: account.migrated
            data: {"from":"a","turn":"t"}

            event: turn.completed
            data: {"reply":"Right","turn":"t"}


            """
        )
        let (_, text, notice) = self.render(events, .plain)
        #expect(text == "Right\n")
        #expect(notice.contains("account of example") && notice.contains("another account"))
    }

    @Test("a failure goes to standard error with its code")
    func failure() {
        let events = self.events(
            #"event: turn.failed\#ndata: {"code":"worker_exited","message":"it died","turn":"t"}\#n\#n"#
        )
        let (renderer, text, notice) = self.render(events, .plain)
        #expect(renderer.ending == .failed(code: "worker_exited", message: "it died"))
        #expect(text.isEmpty)
        #expect(notice == "The turn failed: it died (worker_exited)\n")
    }

    @Test("a reply cannot send a terminal its commands, and a file gets it as it is")
    func escapes() {
        let data = #"data: {"reply":"a\u001b]0;title\u0007b\u009bc\td","turn":"t"}"#
        let events = self.events("event: turn.completed\n\(data)\n\n")
        #expect(self.render(events, .terminal).1 == "a]0;titlebc\td\n")
        #expect(self.render(events, .plain).1 == "a\u{1B}]0;title\u{07}b\u{9B}c\td\n")
    }

    @Test("events that are unknown, malformed or another turn's change nothing")
    func strangers() {
        var renderer = ChatRenderer(style: .terminal)
        for event in self.events(
            "event: delta\ndata: {\n\nevent: news\ndata: {}\n\nevent: delta\ndata: {\"turn\":\"t\"}\n\n"
        ) {
            #expect(renderer.take(event) == ChatRenderer.Output())
        }
        #expect(renderer.isOwn(StreamedEvent(data: #"{"turn":"t"}"#)))
        #expect(!renderer.isOwn(StreamedEvent(data: #"{"turn":"u"}"#)))
        #expect(renderer.ending == nil)
    }
}
