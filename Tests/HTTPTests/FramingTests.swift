import Runtime
import Testing

@testable import HTTP

@Suite("The framing of requests")
struct FramingTests {
    @Test("every vector is judged the same however it is cut", arguments: FramingVector.all)
    func parser(_ vector: FramingVector) {
        let whole = Reading([vector.bytes[...]])
        #expect(whole.verdict == vector.verdict, "\(String(describing: whole.error))")
        #expect(whole.requests == vector.requests)
        for cut in vector.bytes.indices {
            #expect(Reading([vector.bytes[..<cut], vector.bytes[cut...]]) == whole, "cut at \(cut)")
        }
        let single = vector.bytes.indices.map { vector.bytes[$0...$0] }
        #expect(Reading(single) == whole)
    }

    @Test("every vector is judged the same over a socket", arguments: [false, true])
    func socket(byByte: Bool) async throws {
        let seen = Locked<[String]>([])
        try await TestServer.with(Self.router(seen)) { server in
            try await withThrowingTaskGroup(of: Void.self) { _ in
                for vector in FramingVector.all {
                    seen.withLock { $0 = [] }
                    let answer = try await server.client { port in
                        try Self.send(vector, to: port, byByte: byByte)
                    }
                    let requests = seen.withLock { $0.filter { $0 != "GET /end" } }
                    #expect(requests == vector.requests, "\(vector)")
                    let last = answer.split(separator: "HTTP/1.1 ").last?.prefix(3)
                    if case .refuse(let status) = vector.verdict {
                        #expect(last.map(String.init) == String(status), "\(vector)")
                    }
                }
            }
        }
    }

    private static func send(_ vector: FramingVector, to port: Int, byByte: Bool) throws -> String {
        let client = try RawClient(port: port)
        let end = "GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        let bytes = vector.bytes + (vector.verdict == .accept ? Array(end.utf8) : [])
        if byByte {
            for byte in bytes where !client.send([byte]) { break }
        } else {
            client.send(bytes)
        }
        if vector.verdict == .incomplete {
            client.halfClose()
        }
        let (text, closed) = client.receiveAll(within: 3000)
        #expect(closed, "\(vector) leaves the connection open")
        return text
    }

    /// Takes any one-segment path and tells `seen`.
    static func router(_ seen: Locked<[String]>) -> Router {
        var router = Router()
        for method in ["GET", "POST", "M-SEARCH"] {
            router.on(method, "/{any}") { request in
                let body = request.body.isEmpty ? "" : " " + String(decoding: request.body, as: UTF8.self)
                seen.withLock { $0.append("\(request.method) \(request.target)\(body)") }
                return Response(text: "seen")
            }
        }
        return router
    }

    @Test("bounds of a head hold to the byte and to the line")
    func bounds() {
        let limits = ParserLimits(headerBytes: 64, headerCount: 3)
        func status(_ text: String) -> FramingVector.Verdict {
            Reading([Array(text.utf8)[...]], limits: limits).verdict
        }
        let head = "GET /a HTTP/1.1\r\nHost: h\r\nX: "
        let fill = 64 - head.utf8.count - 4
        #expect(status(head + String(repeating: "x", count: fill) + "\r\n\r\n") == .accept)
        #expect(status(head + String(repeating: "x", count: fill + 1) + "\r\n\r\n") == .refuse(431))
        #expect(status("GET /a HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\n\r\n") == .accept)
        #expect(status("GET /a HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\nC:\r\n\r\n") == .refuse(431))
    }

    @Test("chunk extensions and trailers are bounded")
    func chunkBounds() {
        let head = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        func status(_ body: String) -> FramingVector.Verdict { Reading([Array((head + body).utf8)[...]]).verdict }
        let long = String(repeating: "x", count: 1020)
        #expect(status("1;\(long)\r\na\r\n0\r\n\r\n") == .accept)
        #expect(status("1;\(long)\r\na\r\n0;\(long)\r\n\r\n") == .refuse(400))
        #expect(status("0\r\nX: \(long)\(long)\(long)\(long)\r\n\r\n") == .accept)
        #expect(status("0\r\nX: \(long)\(long)\(long)\(long)\(long)\r\n\r\n") == .refuse(431))
        #expect(status("0\r\n" + String(repeating: "X:\r\n", count: 101) + "\r\n") == .refuse(431))
    }

    @Test("HTTP/1.0 needs no Host and is not kept alive unless it asks")
    func oldVersion() {
        func head(_ lines: String) -> RequestHead? {
            Reading([Array("GET /a HTTP/1.\(lines)\r\n\r\n".utf8)[...]]).heads.first
        }
        #expect(head("0")?.keepsAlive == false)
        #expect(head("0\r\nConnection: Keep-Alive")?.keepsAlive == true)
        #expect(head("1\r\nHost: h")?.keepsAlive == true)
        #expect(head("1\r\nHost: h\r\nConnection: upgrade, Close")?.keepsAlive == false)
    }

    @Test("mutated requests are read the same however they are cut")
    func mutations() {
        var random = Seeded(label: "mutations")
        let seeds = FramingVector.all.map(\.bytes)
        let pieces = [
            "\r\n", "\r", "\n", "0", ":", " ", "\r\n\r\n", "chunked", "Content-Length: 1\r\n", ";", "\0", "ff",
        ]
        var refused = 0
        for round in 0..<200_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                Self.mutate(&bytes, seeds, pieces, &random)
            }
            let whole = Reading([bytes[...]])
            if whole.error != nil { refused += 1 }
            let cuts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                Int.random(in: 0...bytes.count, using: &random)
            }
            let edges = [0] + cuts.sorted() + [bytes.count]
            let cut = Reading(zip(edges, edges.dropFirst()).map { bytes[$0..<$1] })
            guard cut == whole else {
                Issue.record("cut at \(cuts): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
                return
            }
        }
        #expect((20_000...195_000).contains(refused), "the mutations reach both sides: \(refused) refused")
    }

    private static func mutate(
        _ bytes: inout [UInt8],
        _ seeds: [[UInt8]],
        _ pieces: [String],
        _ random: inout Seeded
    ) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = Int.random(in: place...min(place + 8, bytes.count), using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes.removeSubrange(place..<end)
        case 1: bytes.insert(contentsOf: bytes[place..<end], at: place)
        case 2: bytes.insert(contentsOf: Array((pieces.randomElement(using: &random) ?? "").utf8), at: place)
        case 3: bytes.append(contentsOf: seeds.randomElement(using: &random) ?? [])
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        default:
            if place < bytes.count { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
        }
    }
}
