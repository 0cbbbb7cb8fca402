/// One request, whole: its body has been read within its limit.
package struct Request: Sendable {
    /// The method as sent; methods are case-sensitive.
    package var method: String
    /// The request target as sent.
    package var target: String
    /// The path as sent: still percent-encoded, without the query.
    package var path: String
    /// The parts of the path between slashes, percent-decoded; none holds a NUL, a slash or a line end.
    package var pathSegments: [String]
    /// The query's pairs in order, decoded.
    package var query: [(name: String, value: String)]
    /// The header lines.
    package var headers: Headers
    /// The body; empty when there was none.
    package var body: [UInt8]
    /// The client's address, an IPv4 or IPv6 literal. Behind a balancer it is the balancer's.
    package var peer: String
    /// What the router's `{name}` segments matched.
    package var parameters: [String: String]
    /// The client's `X-Request-Id` if it is valid, else one made here; every response echoes it.
    package var id: String

    /// A request made of its parts; for tests of what handles requests. Throws 400 like the server for a bad target.
    package init(
        method: String,
        target: String,
        headers: Headers = Headers(),
        body: [UInt8] = [],
        peer: String = "127.0.0.1"
    ) throws(HTTPError) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        try self.init(
            method: method,
            target: target,
            path: parts.first.map(String.init) ?? "",
            query: parts.count > 1 ? String(parts[1]) : nil,
            headers: headers,
            peer: peer,
            id: RequestID.choose(headers)
        )
        self.body = body
    }

    /// The request of `head`, its body still to come.
    init(_ head: RequestHead, peer: String, id: String) throws(HTTPError) {
        try self.init(
            method: head.method,
            target: head.target,
            path: head.path,
            query: head.query,
            headers: head.headers,
            peer: peer,
            id: id
        )
    }

    private init(
        method: String,
        target: String,
        path: String,
        query: String?,
        headers: Headers,
        peer: String,
        id: String
    ) throws(HTTPError) {
        self.method = method
        self.target = target
        self.path = path
        self.pathSegments = try RequestTarget.segments(path)
        self.query = try RequestTarget.pairs(query)
        self.headers = headers
        self.body = []
        self.peer = peer
        self.parameters = [:]
        self.id = id
    }
}

/// Names of requests, for logs on both sides.
enum RequestID {
    /// The client's name for the request if it is harmless (`^[A-Za-z0-9._:-]{1,128}$`), else a new one.
    static func choose(_ headers: Headers) -> String {
        if let given = headers["X-Request-Id"], self.isValid(given) { return given }
        return self.make()
    }

    static func make() -> String {
        var random = SystemRandomNumberGenerator()
        var text: [UInt8] = []
        text.reserveCapacity(32)
        // The top bit is set so that both halves have all their digits.
        for _ in 0..<2 {
            Bytes.appendHex(Int(bitPattern: UInt(random.next() | 1 << 63)), to: &text)
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func isValid(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                Bytes.isLetter(byte) || Bytes.isDigit(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                    || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "-")
            }
    }
}
