/// Finds the end of a request head, byte by byte, so that the verdict on a malformed head does not depend on how the
/// network cut it into pieces.
///
/// Refuses at the first offending byte whatever cannot be part of a head: a bare CR or LF (RFC 9112 section 2.2), a
/// control byte, more bytes or lines than allowed. One empty line before the request line is skipped (same section).
struct HeadScanner: Sendable {
    private var position = 0
    private var lineLength = 0
    private var lines = 0
    private var afterReturn = false
    private(set) var leadingBytes = 0

    /// Looks at the bytes not yet seen; `bytes` starts at the first byte of the request each time. Returns the length of
    /// the head with its empty line, or nil when it is not all there.
    mutating func scan(_ bytes: Span<UInt8>, limits: ParserLimits) throws(HTTPError) -> Int? {
        while self.position < bytes.count {
            let byte = bytes[self.position]
            self.position += 1
            if self.position - self.leadingBytes > limits.headerBytes {
                throw HTTPError(.headersTooLarge, "the request header is longer than \(limits.headerBytes) bytes")
            }
            if self.afterReturn {
                guard byte == Bytes.lineFeed else { throw .badRequest("a carriage return without a line feed") }
                self.afterReturn = false
                if try self.endLine(limits) { return self.position }
            } else if byte == Bytes.carriageReturn {
                self.afterReturn = true
            } else if byte >= Bytes.space || byte == Bytes.tab {
                self.lineLength += 1
            } else if byte == Bytes.lineFeed {
                throw .badRequest("a line feed without a carriage return")
            } else {
                throw .badRequest("a control byte in the request header")
            }
        }
        return nil
    }

    /// Whether the line just ended ends the head.
    private mutating func endLine(_ limits: ParserLimits) throws(HTTPError) -> Bool {
        guard self.lineLength == 0 else {
            self.lines += 1
            self.lineLength = 0
            guard self.lines - 1 <= limits.headerCount else {
                throw HTTPError(.headersTooLarge, "the request has more than \(limits.headerCount) header lines")
            }
            return false
        }
        guard self.lines == 0 else { return true }
        guard self.leadingBytes == 0 else { throw .badRequest("empty lines before the request line") }
        self.leadingBytes = self.position
        return false
    }
}
