import HTTP
import Runtime
import Testing

/// A reader of server-sent events by the letter of WHATWG HTML section 9.2.6.
private struct EventReader {
    struct Event: Equatable {
        var id: String?
        var name: String?
        var data: String
    }

    static func parse(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        var id: String?
        var name: String?
        var data: [UInt8]?
        for line in self.lines(bytes) {
            if line.isEmpty {
                if let data {
                    events.append(Event(id: id, name: name, data: String(decoding: data.dropLast(), as: UTF8.self)))
                }
                id = nil
                name = nil
                data = nil
                continue
            }
            let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
            var value = line[colon...].dropFirst()
            if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
            let text = String(decoding: value, as: UTF8.self)
            switch String(decoding: line[..<colon], as: UTF8.self) {
            case "id": id = text
            case "event": name = text
            case "data": data = (data ?? []) + value + [10]
            default: break
            }
        }
        return events
    }

    private static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var (start, index) = (0, 0)
        while index < bytes.count {
            guard bytes[index] == 10 || bytes[index] == 13 else {
                index += 1
                continue
            }
            lines.append(bytes[start..<index])
            index += bytes[index] == 13 && index + 1 < bytes.count && bytes[index + 1] == 10 ? 2 : 1
            start = index
        }
        return lines
    }
}

@Suite("Server-sent events")
struct EventStreamTests {
    @Test("any event reads as what was written, but for the kind of its line ends")
    func roundTrip() throws {
        var random = Seeded(label: "event streams")
        let alphabet = Array("ab: \u{FEFF}é😀\t;data").map(String.init) + ["\n", "\r", "\r\n", "\n\n", ""]
        let words = ["", "1", " 2", "a:b", "né", ":", "data: x"]
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...12, using: &random)
            let data = (0..<count).map { _ in alphabet.randomElement(using: &random) ?? "" }.joined()
            let id = Bool.random(using: &random) ? words.randomElement(using: &random) : nil
            let name = Bool.random(using: &random) ? words.randomElement(using: &random) : nil
            let frame = try EventStream.frame(id: id, name: name, data: data)
            let lines = String(
                decoding: Self.withLineFeeds(Array(data.utf8)),
                as: UTF8.self
            )
            // The second copy shows that nothing of the first leaks into it.
            let expected = EventReader.Event(id: id, name: name, data: lines)
            try #require(EventReader.parse(frame + frame) == [expected, expected])
        }
    }

    private static func withLineFeeds(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if byte == 10, index > 0, bytes[index - 1] == 13 { continue }
            output.append(byte == 13 ? 10 : byte)
        }
        return output
    }

    @Test("an id or a name with a line end or a NUL is refused", arguments: ["\n", "a\rb", "a\r\n", "\0"])
    func refuses(_ text: String) {
        #expect(throws: HTTPError.self) { try EventStream.frame(id: text, data: "") }
        #expect(throws: HTTPError.self) { try EventStream.frame(name: text, data: "") }
    }

    @Test("a response of events has the header that keeps proxies from holding it back, and ends when its body does")
    func response() async throws {
        var router = Router()
        router.on("GET", "/events") { _ in
            .events { events in
                try await events.event(id: "1", name: "n", data: "a\nb")
                try await events.comment("x\ny")
            }
        }
        try await TestServer.with(router) { server in
            let answer = try await server.exchange("GET /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.contains("\r\nContent-Type: text/event-stream\r\n"))
            #expect(answer.contains("\r\nCache-Control: no-cache, no-transform\r\n"))
            #expect(answer.contains("\r\nX-Accel-Buffering: no\r\n"))
            #expect(answer.contains("id: 1\nevent: n\ndata: a\ndata: b\n\n"))
            #expect(answer.contains(": x y\n\n") && answer.hasSuffix("\r\n0\r\n\r\n"))
        }
    }

    @Test("a silent stream is kept alive by comments, which stop at its end")
    func keepAlive() async throws {
        var configuration = HTTPConfiguration()
        configuration.linger = .milliseconds(40)
        var router = Router()
        router.on("GET", "/silent") { _ in
            .events { events in
                events.keepAlive(every: .milliseconds(20))
                try await Task.sleep(for: .milliseconds(400))
            }
        }
        try await TestServer.with(router, configuration: configuration) { server in
            let answer = try await server.exchange("GET /silent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.split(separator: ": \n\n").count > 3)
            #expect(answer.hasSuffix("\r\n0\r\n\r\n"))
        }
    }
}
