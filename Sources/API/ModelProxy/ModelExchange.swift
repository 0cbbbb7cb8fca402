import Domain
import Gateway
import HTTP
import Runtime

/// A call that an upstream has begun to answer: passes the answer on as it comes, and counts it.
final class ModelExchange: Sendable {
    private struct State {
        var reader: AnswerReader
        var hasSeenBackend = false
        var isOver = false
    }

    private let call: ModelCall
    private let turn: ModelTurn
    private let answer: UpstreamResponse
    private let recheck: Duration
    private let state: Locked<State>

    /// The turn has counted the call in. `backend`: where the answer names who gave it.
    init(
        _ call: ModelCall,
        _ turn: ModelTurn,
        _ answer: UpstreamResponse,
        backend: Upstream.BackendSource,
        recheck: Duration
    ) {
        (self.call, self.turn, self.answer) = (call, turn, answer)
        self.recheck = recheck
        let isAnswered = (200..<300).contains(answer.status)
        var member: String?
        switch backend {
        case .header(let name):
            if isAnswered, call.route.tellsBackend, let backend = answer.headers[name].flatMap({ BackendID($0) }) {
                turn.saw(backend, cacheKey: call.cacheKey)
            }
        case .member(let name):
            if isAnswered, call.route.tellsBackend { member = name }
        }
        self.state = Locked(State(reader: AnswerReader(Self.form(answer.headers), member: member)))
    }

    /// A response is not always asked for its body: then this is its end.
    deinit {
        self.answer.cancel()
        self.end()
    }

    private static func form(_ headers: Headers) -> AnswerReader.Form {
        let type = headers["Content-Type"]?.lowercased() ?? ""
        guard headers["Content-Encoding"].map({ $0.lowercased() == "identity" }) ?? true else { return .opaque }
        if type.hasPrefix("text/event-stream") { return .events }
        return type.hasPrefix("application/json") ? .whole : .opaque
    }

    /// The answer for the worker.
    var response: Response {
        Response(
            status: self.answer.status,
            headers: ModelCall.passed(self.answer.headers),
            body: .stream { writer in try await self.pass(to: writer) }
        )
    }

    /// Breaks the answer off when the upstream does, when the turn is over, and when it is more than the turn may have.
    private func pass(to writer: ResponseWriter) async throws {
        // Counted before the worker can know that the answer is whole.
        defer {
            self.answer.cancel()
            self.end()
        }
        var checked = ContinuousClock.now
        while let bytes = try await self.answer.next() {
            if ContinuousClock.now - checked >= self.recheck {
                checked = .now
                guard await self.mayGoOn() else { throw UpstreamError(.cancelled, "the turn is over") }
            }
            guard self.turn.receive(bytes: bytes.count) else {
                throw UpstreamError(.cancelled, "the turn has used up its bytes")
            }
            self.look { $0.take(bytes) }
            try await writer.write(bytes)
        }
    }

    /// A database that is away says nothing about the turn: the replica ends it itself once it can no longer trust its locks.
    private func mayGoOn() async -> Bool {
        do { return try await self.turn.isRunning() } catch { return !self.turn.over.isRaised }
    }

    private func end() {
        self.look { $0.finish() }
        let tokens = self.state.withLock { state -> Int? in
            guard !state.isOver else { return nil }
            state.isOver = true
            let isAnswered = (200..<300).contains(self.answer.status)
            return isAnswered ? state.reader.tokens(questionBytes: self.call.bytes) : 0
        }
        if let tokens { self.turn.end(tokens: tokens) }
    }

    private func look(_ body: (inout AnswerReader) -> Void) {
        let backend = self.state.withLock { state -> BackendID? in
            guard !state.isOver else { return nil }
            body(&state.reader)
            guard !state.hasSeenBackend, let backend = state.reader.backend else { return nil }
            state.hasSeenBackend = true
            return backend
        }
        if let backend { self.turn.saw(backend, cacheKey: self.call.cacheKey) }
    }
}
