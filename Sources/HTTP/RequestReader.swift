/// Bytes in, requests out: the whole reading side of a connection as a value.
///
/// What comes out depends on the bytes alone, never on how they were cut; the tests check that for every split. After an
/// error the reader is of no more use: the next request cannot be found.
struct RequestReader: Sendable {
    /// What `next` found.
    enum Event: Sendable, Equatable {
        /// A head; `admit` must be called before the body is read.
        case head(RequestHead)
        /// The body that belongs to the last head.
        case complete([UInt8])
    }

    /// What the reader waits for.
    enum Stage: Sendable {
        /// The first byte of a request.
        case idle
        /// The rest of a head.
        case head
        /// The rest of a body.
        case body
    }

    private enum State: Sendable {
        case head(HeadScanner)
        case length(remaining: Int)
        case chunked(ChunkDecoder)
    }

    private let limits: ParserLimits
    private var state = State.head(HeadScanner())
    private var buffer: [UInt8] = []
    private var start = 0
    private var body: [UInt8] = []
    private var bodyLimit = 0

    init(limits: ParserLimits) {
        self.limits = limits
    }

    /// Bytes that were received and not yet used.
    var buffered: Int { self.buffer.count - self.start }

    /// Bytes of the body under way that were received.
    var bodyBytes: Int { self.body.count }

    var stage: Stage {
        guard case .head = self.state else { return .body }
        return self.buffered == 0 ? .idle : .head
    }

    /// Takes over received bytes.
    mutating func append(_ bytes: some Collection<UInt8>) {
        if self.start > 4096 {
            self.buffer.removeFirst(self.start)
            self.start = 0
        }
        self.buffer.append(contentsOf: bytes)
    }

    /// Sets the bound of the body whose head has just come out. Throws 413 if the head already says that it is longer.
    mutating func admit(bodyLimit: Int) throws(HTTPError) {
        self.bodyLimit = bodyLimit
        if case .length(let length) = self.state, length > bodyLimit {
            throw HTTPError(.contentTooLarge, "the request body is larger than \(bodyLimit) bytes")
        }
    }

    /// The next event, or nil when more bytes are needed.
    mutating func next() throws(HTTPError) -> Event? {
        switch self.state {
        case .head(var scanner):
            guard let length = try scanner.scan(self.buffer.span.extracting(self.start...), limits: self.limits) else {
                self.state = .head(scanner)
                return nil
            }
            let bytes = self.start + scanner.leadingBytes..<self.start + length
            let head = try RequestParser.parse(self.buffer.span.extracting(bytes))
            self.begin(head.framing)
            self.consume(length)
            return .head(head)
        case .length(let remaining):
            let count = min(remaining, self.buffered)
            self.body.append(contentsOf: self.buffer[self.start..<self.start + count])
            self.consume(count)
            self.state = .length(remaining: remaining - count)
            return count == remaining ? self.complete() : nil
        case .chunked(var decoder):
            var body = self.body
            self.body = []
            let used = try decoder.decode(
                self.buffer.span.extracting(self.start...),
                into: &body,
                limit: self.bodyLimit
            )
            self.body = body
            self.consume(used)
            self.state = .chunked(decoder)
            return decoder.isDone ? self.complete() : nil
        }
    }

    private mutating func begin(_ framing: BodyFraming) {
        switch framing {
        case .none: self.state = .length(remaining: 0)
        case .length(let length): self.state = .length(remaining: length)
        case .chunked: self.state = .chunked(ChunkDecoder(limits: self.limits))
        }
    }

    private mutating func complete() -> Event {
        let body = self.body
        self.body = []
        self.state = .head(HeadScanner())
        return .complete(body)
    }

    private mutating func consume(_ count: Int) {
        self.start += count
        guard self.start == self.buffer.count else { return }
        // An idle connection keeps no large buffer; a busy one need not allocate for each small request.
        self.buffer.removeAll(keepingCapacity: self.buffer.capacity <= 1024)
        self.start = 0
    }
}
