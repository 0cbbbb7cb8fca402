internal import CCurlShim
import Runtime

/// One request under way: libcurl's callbacks fill it on the reactor's thread, one task empties it.
///
/// `@unchecked Sendable`: `state` is locked; `handle` belongs to the reactor's thread, the timers to whoever made them.
final class UpstreamTransfer: @unchecked Sendable {
    /// Bytes that may wait for the reader before libcurl is told to stop reading; it goes on when they are taken.
    private static let mostWaiting = 256 << 10
    /// All lines of an answer's head.
    private static let headBytes = 64 << 10

    private struct State {
        var status = 0
        var headers = Headers()
        var headBytes = 0
        var hasHead = false
        var waiting: [UInt8] = []
        var isPaused = false
        var end: Result<Void, UpstreamError>?
        var reader: CheckedContinuation<Void, Never>?
        var lastMove = ContinuousClock.now
        /// Takes back the wish to hear of the request's stop.
        var forget: (@Sendable () -> Void)?
    }

    /// What a reader finds.
    private enum Found {
        case bytes([UInt8], resumes: Bool)
        case nothing
        case end
        case failure(UpstreamError)
    }

    let request: UpstreamRequest
    let client: UpstreamClient
    /// libcurl's, while it runs.
    var handle: OpaquePointer?
    private let head = OneShot<Void>()
    private let state = Locked(State())

    init(_ request: UpstreamRequest, client: UpstreamClient) {
        self.request = request
        self.client = client
    }

    var isOver: Bool { self.state.withLock { $0.end != nil } }

    // MARK: - For the one who asked

    /// Heeds the request's stop, before it is begun.
    func heedStop() {
        let forget = self.request.stop?.whenRaised { [weak self] in
            self?.fail(UpstreamError(.cancelled, "the answer is not wanted any more"))
        }
        let isOver = self.state.withLock { state in
            if state.end == nil { state.forget = forget }
            return state.end != nil
        }
        if isOver { forget?() }
    }

    /// Waits for the head.
    func response() async throws(UpstreamError) -> UpstreamResponse {
        await withTaskCancellationHandler {
            await self.head.value()
        } onCancel: {
            self.fail(UpstreamError(.cancelled, "the request is not wanted any more"))
        }
        let (status, headers, hasHead, end) = self.state.withLock { ($0.status, $0.headers, $0.hasHead, $0.end) }
        if !hasHead {
            if case .failure(let error) = end { throw error }
            throw UpstreamError(.broken, "the answer has no head")
        }
        return UpstreamResponse(status: status, headers: headers, transfer: self)
    }

    func next() async throws(UpstreamError) -> [UInt8]? {
        while true {
            switch self.take() {
            case .bytes(let bytes, let resumes):
                if resumes { self.client.resume(self) }
                return bytes
            case .end: return nil
            case .failure(let error): throw error
            case .nothing: await self.wait()
            }
        }
    }

    private func take() -> Found {
        self.state.withLock { state in
            // What was cut off is not handed out; what came before the other side broke off is.
            if case .failure(let error) = state.end, error.code == .cancelled { return .failure(error) }
            if !state.waiting.isEmpty {
                let bytes = state.waiting
                state.waiting = []
                let resumes = state.isPaused
                state.isPaused = false
                state.lastMove = .now
                return .bytes(bytes, resumes: resumes)
            }
            switch state.end {
            case .success: return .end
            case .failure(let error): return .failure(error)
            case nil: return .nothing
            }
        }
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { reader in
                let isReady = self.state.withLock { state in
                    if !state.waiting.isEmpty || state.end != nil { return true }
                    state.reader = reader
                    return false
                }
                if isReady { reader.resume() }
            }
        } onCancel: {
            self.fail(UpstreamError(.cancelled, "the answer is not wanted any more"))
        }
    }

    /// Ends the transfer with an error; the first end counts.
    func fail(_ error: UpstreamError) {
        guard self.end(.failure(error)) else { return }
        self.client.drop(self)
    }

    /// False when it had ended before.
    private func end(_ result: Result<Void, UpstreamError>) -> Bool {
        let was = self.state.withLock { state -> State? in
            guard state.end == nil else { return nil }
            defer { (state.end, state.reader, state.forget) = (result, nil, nil) }
            return state
        }
        guard let was else { return false }
        was.reader?.resume()
        was.forget?()
        self.head.resolve(())
        return true
    }

    // MARK: - For libcurl, on the reactor's thread

    /// A line of a head; false to give up.
    func line(_ line: String) -> Bool {
        let (isFine, isWhole) = self.state.withLock { state -> (Bool, Bool) in
            // Trailers are of no interest.
            guard !state.hasHead else { return (true, false) }
            state.headBytes += line.utf8.count
            guard state.headBytes <= Self.headBytes else { return (false, false) }
            if line.isEmpty {
                // A head of 1xx announces another one.
                state.hasHead = state.status >= 200
                state.lastMove = .now
                return (true, state.hasHead)
            }
            if line.hasPrefix("HTTP/") {
                state.status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
                state.headers = Headers()
            } else if let colon = line.firstIndex(of: ":") {
                let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
                state.headers.add(String(line[..<colon]), String(value))
            }
            return (true, false)
        }
        if isWhole {
            self.head.resolve(())
            self.watchSilence(self.request.silence)
        }
        return isFine
    }

    /// A piece of the body; false when it has to wait.
    func body(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let (isTaken, reader) = self.state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            guard state.waiting.count < Self.mostWaiting else {
                state.isPaused = true
                return (false, nil)
            }
            state.waiting.append(contentsOf: bytes)
            state.lastMove = .now
            defer { state.reader = nil }
            return (true, state.reader)
        }
        reader?.resume()
        return isTaken
    }

    /// libcurl is done with it.
    func ended(_ code: Int32, _ message: String) {
        let isTooLong = self.state.withLock { $0.headBytes > Self.headBytes }
        if code == 0 {
            _ = self.end(.success(()))
        } else if isTooLong {
            _ = self.end(.failure(UpstreamError(.broken, "the head of the answer is over \(Self.headBytes) bytes")))
        } else {
            _ = self.end(.failure(UpstreamError(curl: code, message)))
        }
    }

    // MARK: - Time

    /// Gives up when the head is not there in time.
    func watchHead() {
        let time = self.request.headTime
        self.client.reactor.after(time) { [weak self] in
            guard let self, !self.state.withLock({ $0.hasHead }) else { return }
            self.fail(UpstreamError(.late, "no answer began within \(time)"))
        }
    }

    /// Gives up when the other side is silent; time in which nobody wanted to read does not count.
    private func watchSilence(_ delay: Duration) {
        self.client.reactor.after(delay) { [weak self] in
            guard let self else { return }
            let (isOver, quietUntil) = self.state.withLock { state in
                let isWaited = state.isPaused || !state.waiting.isEmpty
                let since = isWaited ? ContinuousClock.now : state.lastMove
                return (state.end != nil, since + self.request.silence)
            }
            guard !isOver else { return }
            let left = quietUntil - .now
            guard left <= .zero else { return self.watchSilence(left) }
            self.fail(UpstreamError(.late, "the answer stopped for \(self.request.silence)"))
        }
    }
}
