// The entry of the coverage-guided fuzzer (libFuzzer, `swiftc -sanitize=fuzzer`). Built by `Tests/Fuzz/run`, together with
// the parser's own files: a fuzzer brings its own `main`, which a package target cannot.

private struct Reading: Equatable {
    var heads: [RequestHead] = []
    var bodies: [[UInt8]] = []
    var error: HTTPError?

    init(_ pieces: [ArraySlice<UInt8>]) {
        var reader = RequestReader(
            limits: ParserLimits(headerBytes: 512, headerCount: 8, extensionBytes: 16, trailerBytes: 64)
        )
        do throws(HTTPError) {
            for piece in pieces {
                reader.append(piece)
                while let event = try reader.next() {
                    switch event {
                    case .head(let head):
                        _ = try Request(head, peer: "", id: "")
                        try reader.admit(bodyLimit: 256)
                        self.heads.append(head)
                    case .complete(let body):
                        precondition(body.count <= 256, "a body over its limit")
                        self.bodies.append(body)
                    }
                }
            }
        } catch {
            self.error = error
        }
        precondition(self.heads.count - self.bodies.count <= 1, "a head without its body")
    }
}

/// What a head must be, whatever it was made of: read again from its canonical form it is the same, and it frames its
/// body in one way.
private func check(_ head: RequestHead) {
    var bytes = Array("\(head.method) \(head.target) HTTP/1.\(head.minorVersion)\r\n".utf8)
    do throws(HTTPError) {
        try head.headers.serialise(into: &bytes)
    } catch {
        fatalError("a header that came in cannot go out: \(error)")
    }
    bytes += Array("\r\n".utf8)
    let again = Reading([bytes[...]])
    // Bytes beyond ASCII grow when they are written as UTF-8, and may then break a bound.
    precondition(again.heads == [head] || again.error?.code == .headersTooLarge, "a head that reads differently again")
    let (lengths, codings) = (head.headers.all("Content-Length"), head.headers.all("Transfer-Encoding"))
    precondition(lengths.count + codings.count <= 1, "two ways to frame a body")
    precondition(codings.isEmpty || head.framing == .chunked, "a coding that does not frame")
    precondition(head.minorVersion == 0 || head.headers.all("Host").count == 1, "not exactly one Host")
}

/// One input: its first byte says where to cut the rest, which must not matter.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzRequest(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: size))
    guard let first = input.first else { return 0 }
    let bytes = input.dropFirst()
    let whole = Reading([bytes])
    for head in whole.heads { check(head) }
    let cut = bytes.startIndex + Int(first) * bytes.count / 256
    precondition(Reading([bytes[..<cut], bytes[cut...]]) == whole, "a cut that matters")
    precondition(Reading(bytes.indices.map { bytes[$0...$0] }) == whole, "single bytes that matter")
    return 0
}
