/// Turns a whole request head into its parts. Strict: whatever RFC 9112 lets a recipient read in two ways is refused.
struct RequestParser: ~Copyable {
    private var headers = Headers()
    private var hosts: [String] = []
    private var lengths: [String] = []
    private var codings: [String] = []
    private var expectations: [String] = []
    private var closes = false
    private var persists = false

    /// Parses `head`, which starts with the request line and ends with the empty line, as `HeadScanner` found it.
    static func parse(_ head: Span<UInt8>) throws(HTTPError) -> RequestHead {
        var parser = RequestParser()
        var position = 0
        let line = try RequestLine.parse(head, end: self.lineEnd(head, from: 0))
        position = self.lineEnd(head, from: 0) + 2
        while true {
            let end = self.lineEnd(head, from: position)
            if end == position { break }
            try parser.add(FieldLine.parse(head, position..<end))
            position = end + 2
        }
        return try parser.finish(line)
    }

    /// The index of the CR that ends the line. The scanner has made sure that each CR is followed by its LF.
    private static func lineEnd(_ head: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index < head.count, head[index] != Bytes.carriageReturn { index += 1 }
        return index
    }

    private mutating func add(_ field: FieldLine) {
        let (name, value) = (field.name, field.value)
        switch name.utf8.count {
        case 4 where Bytes.equalIgnoringCase(name, "host"): self.hosts.append(value)
        case 6 where Bytes.equalIgnoringCase(name, "expect"): self.expectations.append(value)
        case 10 where Bytes.equalIgnoringCase(name, "connection"): self.readConnection(value)
        case 14 where Bytes.equalIgnoringCase(name, "content-length"): self.lengths.append(value)
        case 17 where Bytes.equalIgnoringCase(name, "transfer-encoding"): self.codings.append(value)
        default: break
        }
        self.headers.add(name, value)
    }

    private mutating func readConnection(_ value: String) {
        for option in FieldLine.list(value) {
            if Bytes.equalIgnoringCase(option, "close") { self.closes = true }
            if Bytes.equalIgnoringCase(option, "keep-alive") { self.persists = true }
        }
    }

    private consuming func finish(_ line: RequestLine) throws(HTTPError) -> RequestHead {
        try self.checkHost(line)
        let framing = try self.framing(line)
        return RequestHead(
            method: line.method,
            target: line.target,
            path: line.path,
            query: line.query,
            minorVersion: line.minorVersion,
            headers: self.headers,
            framing: framing,
            keepsAlive: !self.closes && (line.minorVersion == 1 || self.persists),
            expectsContinue: try self.expectsContinue(line)
        )
    }

    /// RFC 9112 section 3.2: HTTP/1.1 needs exactly one Host; HTTP/1.0 may have one. An absolute-form target must name
    /// the same host, else the parties before us may have routed by either.
    private func checkHost(_ line: RequestLine) throws(HTTPError) {
        guard self.hosts.count <= 1 else { throw .badRequest("more than one Host header") }
        guard let host = self.hosts.first else {
            if line.minorVersion == 1 { throw .badRequest("no Host header") }
            return
        }
        guard !host.isEmpty, host.utf8.allSatisfy(Bytes.isHost) else { throw .badRequest("an invalid Host header") }
        guard let authority = line.authority else { return }
        guard Bytes.equalIgnoringCase(Self.withoutDefaultPort(host), Self.withoutDefaultPort(authority)) else {
            throw .badRequest("the request target and the Host header name different hosts")
        }
    }

    private static func withoutDefaultPort(_ host: String) -> Substring {
        host.hasSuffix(":80") ? host.dropLast(3) : host[...]
    }

    /// RFC 9112 section 6: at most one of the two ways to frame a body, and that one beyond doubt.
    private func framing(_ line: RequestLine) throws(HTTPError) -> BodyFraming {
        if let coding = self.codings.first {
            guard self.lengths.isEmpty else { throw .badRequest("both Content-Length and Transfer-Encoding") }
            guard self.codings.count == 1 else { throw .badRequest("more than one Transfer-Encoding header") }
            guard line.minorVersion == 1 else { throw .badRequest("Transfer-Encoding in an HTTP/1.0 request") }
            return try self.chunked(coding)
        }
        guard let length = self.lengths.first else { return .none }
        guard self.lengths.count == 1 else { throw .badRequest("more than one Content-Length header") }
        guard !length.isEmpty, length.utf8.allSatisfy(Bytes.isDigit) else {
            throw .badRequest("an invalid Content-Length")
        }
        guard let count = Int(length) else { throw HTTPError(.contentTooLarge, "the Content-Length is too large") }
        return .length(count)
    }

    private func chunked(_ coding: String) throws(HTTPError) -> BodyFraming {
        let names = FieldLine.list(coding)
        let last = names.last ?? ""
        guard Bytes.equalIgnoringCase(last, "chunked") else {
            throw .badRequest("a Transfer-Encoding that does not end in chunked")
        }
        guard names.count > 1 else { return .chunked }
        for name in names.dropLast() {
            guard !name.isEmpty, name.utf8.allSatisfy(Bytes.isToken), !Bytes.equalIgnoringCase(name, "chunked") else {
                throw .badRequest("an invalid Transfer-Encoding")
            }
        }
        throw HTTPError(.notImplemented, "a transfer coding other than chunked")
    }

    private func expectsContinue(_ line: RequestLine) throws(HTTPError) -> Bool {
        // RFC 9110 section 10.1.1: an expectation in an HTTP/1.0 request is ignored.
        guard line.minorVersion == 1 else { return false }
        guard let expectation = self.expectations.first else { return false }
        guard self.expectations.count == 1, Bytes.equalIgnoringCase(expectation, "100-continue") else {
            throw HTTPError(.expectationFailed, "an expectation other than 100-continue")
        }
        return true
    }
}

extension Bytes {
    fileprivate static func equalIgnoringCase(_ left: Substring, _ right: Substring) -> Bool {
        self.equalIgnoringCase(String(left), String(right))
    }
}
