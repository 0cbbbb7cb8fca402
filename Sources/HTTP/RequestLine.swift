/// `method SP request-target SP HTTP-version` (RFC 9112 section 3).
struct RequestLine: Sendable {
    let method: String
    let target: String
    let path: String
    let query: String?
    /// The host of an absolute-form target.
    let authority: String?
    let minorVersion: Int

    /// Parses `bytes[0..<end]`, which holds no CR and no LF.
    static func parse(_ bytes: Span<UInt8>, end: Int) throws(HTTPError) -> RequestLine {
        var methodEnd = 0
        while methodEnd < end, Bytes.isToken(bytes[methodEnd]) { methodEnd += 1 }
        guard methodEnd > 0, methodEnd <= 32, methodEnd < end, bytes[methodEnd] == Bytes.space else {
            throw .badRequest("an invalid request line")
        }
        var targetEnd = methodEnd + 1
        while targetEnd < end, bytes[targetEnd] != Bytes.space { targetEnd += 1 }
        guard targetEnd > methodEnd + 1, targetEnd < end else { throw .badRequest("an invalid request line") }
        let minorVersion = try self.version(bytes.extracting((targetEnd + 1)..<end))
        let method = Bytes.text(bytes.extracting(0..<methodEnd))
        return try self.target(method, bytes.extracting((methodEnd + 1)..<targetEnd), minorVersion)
    }

    private static func version(_ bytes: Span<UInt8>) throws(HTTPError) -> Int {
        let name: StaticString = "HTTP/"
        guard bytes.count == 8, bytes[6] == UInt8(ascii: "."), Bytes.isDigit(bytes[5]), Bytes.isDigit(bytes[7]) else {
            throw .badRequest("an invalid HTTP version")
        }
        for index in 0..<5 where bytes[index] != name.utf8Start[index] {
            throw .badRequest("an invalid HTTP version")
        }
        let (major, minor) = (bytes[5] - 0x30, bytes[7] - 0x30)
        guard major == 1, minor <= 1 else {
            throw HTTPError(.versionNotSupported, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        return Int(minor)
    }

    /// RFC 9112 section 3.2: origin form, absolute form, asterisk form; the authority form belongs to CONNECT.
    private static func target(
        _ method: String,
        _ bytes: Span<UInt8>,
        _ minorVersion: Int
    ) throws(HTTPError) -> RequestLine {
        guard method != "CONNECT" else { throw HTTPError(.notImplemented, "this server is no tunnel") }
        let target = Bytes.text(bytes)
        var start = 0
        var authority: String?
        if bytes.count == 1, bytes[0] == UInt8(ascii: "*") {
            guard method == "OPTIONS" else { throw .badRequest("the asterisk form is for OPTIONS") }
            return RequestLine(
                method: method,
                target: target,
                path: "*",
                query: nil,
                authority: nil,
                minorVersion: minorVersion
            )
        }
        if bytes[0] != UInt8(ascii: "/") {
            guard let scheme = self.schemeLength(bytes) else { throw .badRequest("an invalid request target") }
            start = scheme
            while start < bytes.count, Bytes.isHost(bytes[start]) { start += 1 }
            guard start > scheme else { throw .badRequest("a request target without a host") }
            authority = Bytes.text(bytes.extracting(scheme..<start))
        }
        var pathEnd = start
        while pathEnd < bytes.count, Bytes.isPath(bytes[pathEnd]) || bytes[pathEnd] == UInt8(ascii: "%") {
            pathEnd += 1
        }
        let path = pathEnd == start ? "/" : Bytes.text(bytes.extracting(start..<pathEnd))
        guard path.utf8.first == UInt8(ascii: "/") else { throw .badRequest("an invalid request target") }
        return RequestLine(
            method: method,
            target: target,
            path: path,
            query: try self.query(bytes, from: pathEnd),
            authority: authority,
            minorVersion: minorVersion
        )
    }

    private static func query(_ bytes: Span<UInt8>, from start: Int) throws(HTTPError) -> String? {
        guard start < bytes.count else { return nil }
        guard bytes[start] == UInt8(ascii: "?") else { throw .badRequest("an invalid byte in the request target") }
        for index in start + 1..<bytes.count where !Bytes.isQuery(bytes[index]) {
            throw .badRequest("an invalid byte in the query")
        }
        return Bytes.text(bytes.extracting((start + 1)..<bytes.count))
    }

    /// The length of `http://` or `https://` at the start.
    private static func schemeLength(_ bytes: Span<UInt8>) -> Int? {
        for scheme in ["http://", "https://"] {
            let utf8 = Array(scheme.utf8)
            guard bytes.count >= utf8.count else { continue }
            if utf8.indices.allSatisfy({ utf8[$0] == Bytes.lowercased(bytes[$0]) }) { return utf8.count }
        }
        return nil
    }
}
