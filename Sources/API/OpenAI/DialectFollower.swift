import Domain
import Gateway
import HTTP
import Runtime

/// What one turn's log becomes in a dialect: a value that takes the log's events in order. The same events give the same
/// bytes on every replica, which is what lets a client go on reading somewhere else.
protocol DialectProjection: Sendable {
    /// Takes the next event and gives the server-sent events that it becomes, in wire form.
    mutating func take(_ event: EventRecord) throws -> [UInt8]
    /// Whether nothing more can come.
    var isOver: Bool { get }
}

/// A turn of which an answer is made.
struct FollowedTurn: Sendable {
    let id: TurnID
    let number: ConversationNumber
    /// The number of an event before the turn's first.
    let after: Int64
    /// Whether the gateway knows the request when it is sent again.
    var isFoundAgain = false
    /// Whether a client that leaves wants no answer any more. Without it the turn goes on.
    var cancelsOnDisconnect = false
}

/// Makes answers, streamed or whole, of turns' logs.
struct DialectFollower: Sendable {
    /// The longest silence on a stream; then a comment is sent.
    let keepalive: Duration
    let departure: Departure
    /// Between two looks while the database is away.
    private static let pause: Duration = .milliseconds(500)

    /// A stream that ends when `start`, fed with the turn's events, is over.
    func stream(
        _ call: Call,
        _ turn: FollowedTurn,
        _ start: some DialectProjection,
        headers: Headers = [:]
    ) -> Response {
        var response = Response(status: 200, headers: EventStream.headers)
        for line in headers.lines { response.headers.set(line.name, line.value) }
        response.headers.set("X-Content-Type-Options", "nosniff")
        response.body = .stream { writer in
            EventStream(writer).keepAlive(every: self.keepalive)
            var projection = start
            try await self.feed(&projection, call, turn) { try await writer.write($0) }
        }
        return response
    }

    /// `start` once it is over. Throws when the client, or its leave to ask, is gone before that, and for a log that cannot
    /// be read.
    func whole<Projection: DialectProjection>(
        _ call: Call,
        _ turn: FollowedTurn,
        _ start: Projection
    ) async throws -> Projection {
        var projection = start
        do {
            try await self.feed(&projection, call, turn) { _ in }
        } catch  where !(error is CancellationError) {
            throw Dialect.givenUp(error, turn)
        }
        guard projection.isOver else {
            try Task.checkCancellation()
            throw APIError(401, "unauthorized", "the token was revoked while the turn went on; the turn goes on")
        }
        return projection
    }

    /// Goes on when the database was away: the turn is accepted, and who waits for it could only ask for another.
    private func feed(
        _ projection: inout some DialectProjection,
        _ call: Call,
        _ turn: FollowedTurn,
        _ send: (consuming [UInt8]) async throws -> Void
    ) async throws {
        do {
            var cursor: Int64? = turn.after
            while let after = cursor {
                do {
                    try await call.follow(turn.number, after: after, turn: turn.id, keepalive: self.keepalive) {
                        batch in
                        var frames: [UInt8] = []
                        for event in batch where !projection.isOver { frames += try projection.take(event) }
                        cursor = batch.last?.seq ?? cursor
                        // A reader may be slow for as long as the server bears it: what it waits for is held once.
                        _ = consume batch
                        try await send(consume frames)
                        return !projection.isOver
                    }
                    cursor = nil
                } catch GatewayError.unavailable {
                    try await Task.sleep(for: Self.pause)
                }
            }
        } catch {
            await self.left(call, turn)
            throw error
        }
        if !projection.isOver { await self.left(call, turn) }
    }

    private func left(_ call: Call, _ turn: FollowedTurn) async {
        if turn.cancelsOnDisconnect { await self.departure.cancel(turn.id, of: call) }
    }
}
