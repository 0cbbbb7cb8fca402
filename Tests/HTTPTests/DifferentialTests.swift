import HTTP
import Runtime
import Testing

@Suite("Behind a real proxy", .takingTurns)
struct DifferentialTests {
    enum Kind: String, Sendable, CaseIterable {
        case nginx, haproxy
    }

    @Test("the server never sees two requests where the proxy saw one", arguments: Kind.allCases)
    func agrees(_ kind: Kind) async throws {
        let seen = Locked<[String]>([])
        try await TestServer.with(FramingTests.router(seen)) { server in
            let proxy =
                kind == .nginx ? try await Proxy.nginx(to: server.port) : try await Proxy.haproxy(to: server.port)
            defer { proxy.stop() }
            var passed = 0
            for vector in FramingVector.all {
                seen.withLock { $0 = [] }
                let answers = try await blocking.run { try Self.answers(to: vector.bytes, from: proxy.port) }
                let requests = seen.withLock { $0 }
                // A request that the proxy passed on has its answer from the proxy, so more of them here than answers
                // there means that the two cut the bytes in different places.
                #expect(requests.count <= answers, "\(vector): \(requests), \(answers) answers")
                passed += requests.count
            }
            // The proxy does pass things on; else this proves nothing.
            #expect(passed >= 20)
            let last = try await blocking.run {
                try Self.answers(to: Array("GET /end HTTP/1.1\r\nHost: h\r\n\r\n".utf8), from: proxy.port)
            }
            #expect(last == 1 && seen.withLock { $0.last } == "GET /end")
        }
    }

    /// Sends `bytes` and counts the final responses until the proxy closes or falls silent.
    private static func answers(to bytes: [UInt8], from port: Int) throws -> Int {
        let client = try RawClient(port: port)
        client.send(bytes)
        var text = ""
        var patience: Int32 = 150
        while let some = client.receiveSome(within: patience), !some.isEmpty {
            text += String(decoding: some, as: UTF8.self)
            patience = 60
        }
        return text.split(separator: "HTTP/1.", omittingEmptySubsequences: false).dropFirst()
            .count { !$0.dropFirst(2).hasPrefix("100") }
    }
}
