import Domain
import Gateway
import HTTP

/// Turns a conversation's log into a stream of server-sent events.
struct EventFollower: Sendable {
    /// The longest silence on a stream; then a comment is sent.
    let keepalive: Duration
    let departure: Departure

    /// Events of `number` after `after`, of one turn only if one is named. With `untilOutcome` the stream ends with that
    /// turn's terminal event; else it ends when the client leaves or the conversation is deleted. A token that is revoked
    /// or runs out meanwhile gets nothing more. With `cancelsOnDisconnect` the named turn is cancelled when its client
    /// leaves before its end.
    func stream(
        _ call: Call,
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        untilOutcome: Bool,
        cancelsOnDisconnect: Bool = false,
        headers: Headers = [:]
    ) -> Response {
        var response = Response(status: 200, headers: EventStream.headers)
        for line in headers.lines { response.headers.set(line.name, line.value) }
        response.headers.set("X-Content-Type-Options", "nosniff")
        response.body = .stream { writer in
            // The server's own timer keeps the stream alive; the feed's empty batches only look after deletion.
            EventStream(writer).keepAlive(every: self.keepalive)
            var isOver = false
            do {
                try await call.follow(number, after: after, turn: turn, keepalive: self.keepalive) { batch in
                    isOver = untilOutcome && batch.contains(where: \.isTerminal)
                    let frames = try Self.frames(batch)
                    // A reader may be slow for as long as the server bears it: what it waits for is held once, not twice.
                    _ = consume batch
                    try await writer.write(consume frames)
                    return !isOver
                }
            } catch {
                if cancelsOnDisconnect, let turn { await self.departure.cancel(turn, of: call) }
                throw error
            }
            if cancelsOnDisconnect, !isOver, let turn { await self.departure.cancel(turn, of: call) }
        }
        return response
    }

    /// A batch in wire form, so that it costs one write.
    static func frames(_ batch: [EventRecord]) throws(HTTPError) -> [UInt8] {
        var frames: [UInt8] = []
        for event in batch {
            let data = String(
                decoding: JSONWriter.object { $0.members(of: event, withType: false) },
                as: UTF8.self
            )
            frames += try EventStream.frame(id: String(event.seq), name: event.type, data: data)
        }
        return frames
    }
}

/// Which of two forms a client wants (RFC 9110 section 12.5.1, as far as there are two).
enum Accepted {
    /// Whether `type` is named, and not with a weight of zero. Wildcards name nothing: what is sent without being asked
    /// for is the route's own default.
    static func names(_ type: String, _ request: Request) -> Bool {
        for field in request.headers.all("Accept") {
            for range in field.lowercased().split(separator: ",") {
                let parts = range.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
                guard parts.first == type else { continue }
                let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
                if weight > 0 { return true }
            }
        }
        return false
    }
}
