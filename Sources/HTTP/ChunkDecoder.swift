/// Decodes `chunked` (RFC 9112 section 7.1), byte by byte where there is something to refuse, in bulk where there is
/// data. Extensions and trailers are bounded, checked and dropped.
struct ChunkDecoder: Sendable {
    private enum State: Sendable {
        /// The size line: the digits so far and their value.
        case size(digits: Int, value: Int)
        /// Blanks before a semicolon.
        case blank(value: Int)
        /// An extension, up to its CR.
        case `extension`(value: Int)
        /// The LF after the size line.
        case sizeEnd(value: Int)
        case data(remaining: Int)
        case dataReturn
        case dataEnd
        /// A trailer line, up to its CR.
        case trailer
        case trailerEnd
        case done
    }

    private let limits: ParserLimits
    private var state = State.size(digits: 0, value: 0)
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailers = 0
    private var line: [UInt8] = []

    init(limits: ParserLimits) {
        self.limits = limits
    }

    /// Whether the last chunk and the trailers have been read.
    var isDone: Bool {
        if case .done = self.state { true } else { false }
    }

    /// Decodes what `input` holds of the body, appends the data to `body`, which may grow to `limit` bytes, and returns
    /// how many bytes were used: all of them, unless the body ended.
    mutating func decode(_ input: Span<UInt8>, into body: inout [UInt8], limit: Int) throws(HTTPError) -> Int {
        var position = 0
        while position < input.count, !self.isDone {
            if case .data(let remaining) = self.state {
                let count = min(remaining, input.count - position)
                input.extracting(position..<position + count).withUnsafeBufferPointer { body.append(contentsOf: $0) }
                position += count
                self.state = count == remaining ? .dataReturn : .data(remaining: remaining - count)
            } else {
                try self.take(input[position], room: limit - body.count)
                position += 1
            }
        }
        return position
    }

    private mutating func take(_ byte: UInt8, room: Int) throws(HTTPError) {
        switch self.state {
        case .size(let digits, let value):
            self.state = try self.size(byte, digits: digits, value: value, room: room)
        case .blank(let value):
            try self.countExtension()
            switch byte {
            case UInt8(ascii: ";"): self.state = .extension(value: value)
            case Bytes.space, Bytes.tab: break
            default: throw .badRequest("a blank after a chunk size")
            }
        case .extension(let value):
            try self.countExtension()
            if byte == Bytes.carriageReturn {
                self.state = .sizeEnd(value: value)
            } else if !Bytes.isFieldContent(byte) {
                throw .badRequest("a control byte in a chunk extension")
            }
        case .sizeEnd(let value):
            try self.expect(byte, Bytes.lineFeed)
            self.state = value == 0 ? .trailer : .data(remaining: value)
        case .dataReturn:
            try self.expect(byte, Bytes.carriageReturn)
            self.state = .dataEnd
        case .dataEnd:
            try self.expect(byte, Bytes.lineFeed)
            self.state = .size(digits: 0, value: 0)
        case .trailer:
            try self.trailer(byte)
        case .trailerEnd:
            try self.expect(byte, Bytes.lineFeed)
            try self.endTrailer()
        case .data, .done:
            break
        }
    }

    private mutating func size(_ byte: UInt8, digits: Int, value: Int, room: Int) throws(HTTPError) -> State {
        if let digit = Bytes.hexValue(byte) {
            guard digits < 8 else { throw .badRequest("a chunk size of more than eight digits") }
            return .size(digits: digits + 1, value: value * 16 + Int(digit))
        }
        guard digits > 0 else { throw .badRequest("a chunk without a size") }
        guard value <= room else { throw HTTPError(.contentTooLarge, "the request body is too large") }
        switch byte {
        case Bytes.carriageReturn: return .sizeEnd(value: value)
        case UInt8(ascii: ";"): return .extension(value: value)
        case Bytes.space, Bytes.tab: return .blank(value: value)
        default: throw .badRequest("an invalid byte in a chunk size")
        }
    }

    private mutating func countExtension() throws(HTTPError) {
        self.extensionBytes += 1
        guard self.extensionBytes <= self.limits.extensionBytes else {
            throw .badRequest("chunk extensions of more than \(self.limits.extensionBytes) bytes")
        }
    }

    private mutating func trailer(_ byte: UInt8) throws(HTTPError) {
        self.trailerBytes += 1
        guard self.trailerBytes <= self.limits.trailerBytes else {
            throw HTTPError(.headersTooLarge, "trailers of more than \(self.limits.trailerBytes) bytes")
        }
        if byte == Bytes.carriageReturn {
            self.state = .trailerEnd
        } else if Bytes.isFieldContent(byte) {
            self.line.append(byte)
        } else {
            throw .badRequest("a control byte in a trailer")
        }
    }

    private mutating func endTrailer() throws(HTTPError) {
        guard !self.line.isEmpty else {
            self.state = .done
            return
        }
        self.trailers += 1
        guard self.trailers <= self.limits.headerCount else {
            throw HTTPError(.headersTooLarge, "more than \(self.limits.headerCount) trailer lines")
        }
        _ = try FieldLine.parse(self.line.span, 0..<self.line.count)
        self.line.removeAll()
        self.state = .trailer
    }

    private func expect(_ byte: UInt8, _ expected: UInt8) throws(HTTPError) {
        guard byte == expected else { throw .badRequest("a chunk that does not end where its size says") }
    }
}
