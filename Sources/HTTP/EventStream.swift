/// Server-sent events (WHATWG HTML, section 9.2) over a response.
package struct EventStream: Sendable {
    private let writer: ResponseWriter

    /// Events over `writer`; the response needs `EventStream.headers`.
    package init(_ writer: ResponseWriter) {
        self.writer = writer
    }

    /// The header of a response that is a stream of events: not cached, not transformed, and not buffered by a proxy.
    package static let headers: Headers = [
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    ]

    /// Sends one event; see `frame` for what it refuses and `ResponseWriter.write` for what else it throws.
    package func event(id: String? = nil, name: String? = nil, data: String) async throws {
        try await self.writer.write(try Self.frame(id: id, name: name, data: data))
    }

    /// Sends a comment, which a client ignores and a proxy counts as life.
    package func comment(_ text: String = "") async throws {
        try await self.writer.write(Self.commentFrame(text))
    }

    /// Has an empty comment sent whenever nothing was for `interval`, by the server's own coarse timer: no task wakes.
    package func keepAlive(every interval: Duration) {
        self.writer.fillSilence(every: interval, with: Self.commentFrame(""))
    }

    /// An event in wire form. Each line of `data`, ended by CRLF, LF or CR, becomes a line of its own, so the client sees
    /// line feeds. Throws `invalidEvent` if the id or name holds a line end or a NUL, which would change what the client
    /// reads.
    package static func frame(id: String? = nil, name: String? = nil, data: String) throws(HTTPError) -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(data.utf8.count + 64)
        try self.append("id: ", id, to: &frame)
        try self.append("event: ", name, to: &frame)
        frame.append(contentsOf: "data: ".utf8)
        var afterReturn = false
        for byte in data.utf8 {
            defer { afterReturn = byte == Bytes.carriageReturn }
            switch byte {
            case Bytes.lineFeed where afterReturn: break
            case Bytes.lineFeed, Bytes.carriageReturn: frame.append(contentsOf: "\ndata: ".utf8)
            default: frame.append(byte)
            }
        }
        frame.append(contentsOf: "\n\n".utf8)
        return frame
    }

    private static func append(_ field: String, _ value: String?, to frame: inout [UInt8]) throws(HTTPError) {
        guard let value else { return }
        for byte in value.utf8 where byte == 0 || byte == Bytes.carriageReturn || byte == Bytes.lineFeed {
            throw HTTPError(.invalidEvent, "an event's id or name holds a line end or a NUL")
        }
        frame.append(contentsOf: field.utf8)
        frame.append(contentsOf: value.utf8)
        frame.append(Bytes.lineFeed)
    }

    private static func commentFrame(_ text: String) -> [UInt8] {
        var frame: [UInt8] = [Bytes.colon, Bytes.space]
        frame.append(
            contentsOf: text.utf8.map { $0 == Bytes.carriageReturn || $0 == Bytes.lineFeed ? Bytes.space : $0 }
        )
        frame.append(contentsOf: "\n\n".utf8)
        return frame
    }
}

extension Response {
    /// A response whose body is a stream of events, which ends when `body` returns.
    package static func events(_ body: @escaping @Sendable (EventStream) async throws -> Void) -> Response {
        Response(status: 200, headers: EventStream.headers, body: .stream { try await body(EventStream($0)) })
    }
}
