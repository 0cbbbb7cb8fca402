import Testing

@testable import API

@Suite(.serialized)
struct DoorkeeperTests {
    /// The answer to a head whose body, 8 MiB less a byte, never comes.
    private static func answer(_ port: Int, _ path: String, _ fields: [String] = []) async throws -> Answer {
        let lines = ["POST \(path) HTTP/1.1", "Host: localhost", "Content-Length: \((8 << 20) - 1)"] + fields
        return try await Probe(port: port).raw(lines.joined(separator: "\r\n") + "\r\n\r\n")
    }

    @Test("a body that comes without a credential is refused before it is read, by both listeners")
    func unread() async throws {
        try await ModelRig.with { rig in
            let port = rig.fixture.port
            for path in ["/v1/chat/completions", "/v1/responses", "/v1/remote/turns/t/outcome"] {
                let answer = try await Self.answer(port, path)
                #expect(answer.status == 401, "\(path)")
                #expect(answer.code == "unauthorized")
                #expect(answer.headers["www-authenticate"] == "Bearer")
            }
            for token in [[], ["Authorization: Bearer nobody's"], ["x-api-key: nobody's"]] {
                let answer = try await Self.answer(rig.port, "/v1/chat/completions", token)
                #expect(answer.status == 401)
                #expect(answer.code == "invalid_token")
            }
        }
    }
}
