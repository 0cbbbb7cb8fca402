/// One event of a server-sent stream.
struct StreamedEvent: Sendable, Hashable {
    var type = "message"
    var data = ""
    /// Nil when the event has none of its own.
    var id: String?
}

/// Bytes to events, as the HTML standard's section on server-sent events says; pure, fed in pieces of any size.
struct EventStreamParser: Sendable {
    private var line: [UInt8] = []
    private var lastWasReturn = false
    private var event = StreamedEvent()
    private var dataLines: [String] = []
    private var isFirstLine = true
    /// No event of the gateway is larger.
    private static let longestLine = 64 << 20

    /// Takes the next bytes and returns the events that they complete. Comments are dropped.
    mutating func take(_ bytes: some Sequence<UInt8>) -> [StreamedEvent] {
        var events: [StreamedEvent] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\n") where self.lastWasReturn:
                self.lastWasReturn = false
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                self.lastWasReturn = byte == UInt8(ascii: "\r")
                if let event = self.endLine() { events.append(event) }
            default:
                self.lastWasReturn = false
                if self.line.count < Self.longestLine { self.line.append(byte) }
            }
        }
        return events
    }

    private mutating func endLine() -> StreamedEvent? {
        var text = String(decoding: self.line, as: UTF8.self)
        self.line.removeAll(keepingCapacity: true)
        if self.isFirstLine, text.hasPrefix("\u{FEFF}") { text.removeFirst() }
        self.isFirstLine = false
        guard !text.isEmpty else { return self.dispatch() }
        guard !text.hasPrefix(":") else { return nil }
        let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var value = halves.count == 2 ? halves[1] : ""
        if value.hasPrefix(" ") { value.removeFirst() }
        switch halves[0] {
        case "event": self.event.type = String(value)
        case "data": self.dataLines.append(String(value))
        case "id": self.event.id = String(value)
        default: break
        }
        return nil
    }

    private mutating func dispatch() -> StreamedEvent? {
        defer {
            self.event = StreamedEvent()
            self.dataLines = []
        }
        guard !self.dataLines.isEmpty else { return nil }
        self.event.data = self.dataLines.joined(separator: "\n")
        return self.event
    }
}
