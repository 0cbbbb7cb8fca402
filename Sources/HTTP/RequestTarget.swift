/// The decoded form of a request target.
enum RequestTarget {
    /// The segments of `path` between its slashes, percent-decoded. `/` has none. Throws 400 for an invalid encoding,
    /// for text that is not UTF-8, for an encoded NUL, slash, CR or LF, and for dot segments, which whoever stands before
    /// this server may resolve in another way than a router would.
    static func segments(_ path: String) throws(HTTPError) -> [String] {
        guard path != "/", path != "*" else { return [] }
        var segments: [String] = []
        for part in path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let segment = try self.decode(part, plusIsSpace: false)
            for byte in segment.utf8 where self.isForbidden(byte) {
                throw .badRequest("an encoded NUL, slash or line end in the path")
            }
            guard segment != ".", segment != ".." else { throw .badRequest("a dot segment in the path") }
            segments.append(segment)
        }
        return segments
    }

    /// The pairs of `query`, decoded as a form is (WHATWG URL, application/x-www-form-urlencoded).
    static func pairs(_ query: String?) throws(HTTPError) -> [(name: String, value: String)] {
        guard let query, !query.isEmpty else { return [] }
        var pairs: [(name: String, value: String)] = []
        for pair in query.utf8.split(separator: UInt8(ascii: "&")) {
            let split = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = try self.decode(pair[..<split], plusIsSpace: true)
            let value =
                split == pair.endIndex ? "" : try self.decode(pair[pair.index(after: split)...], plusIsSpace: true)
            pairs.append((name, value))
        }
        return pairs
    }

    private static func isForbidden(_ byte: UInt8) -> Bool {
        byte == 0 || byte == UInt8(ascii: "/") || byte == Bytes.carriageReturn || byte == Bytes.lineFeed
    }

    private static func decode(_ text: Substring.UTF8View, plusIsSpace: Bool) throws(HTTPError) -> String {
        let needsDecoding = text.contains { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }
        guard needsDecoding else { return String(Substring(text)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var rest = text
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst().flatMap(Bytes.hexValue),
                    let low = rest.popFirst().flatMap(Bytes.hexValue)
                else { throw .badRequest("an invalid percent-encoding in the request target") }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? Bytes.space : byte)
            }
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw .badRequest("a request target that is not UTF-8")
        }
        return decoded
    }
}
