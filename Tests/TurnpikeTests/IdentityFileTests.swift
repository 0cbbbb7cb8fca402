import Foundation
import HTTP
import Runtime
import TestKit
import Testing

@testable import turnpike

@Suite("The file about an identity provider")
struct IdentityFileTests {
    private static let good = #"""
        {"issuer": "https://id.example/", "audience": "turnpike", "keys": "/keys.json",
         "organization": {"fixed": "acme"}, "scopes": {"claim": "roles", "map": {"user": "turns"}}}
        """#

    @Test("a file that is missing or wrong keeps a replica from starting, and says why")
    func files() throws {
        let folder = try ScratchDirectory()
        _ = try IdentityFile(path: try folder.write(Self.good, to: "good.json"))
        let bad = try folder.write(Self.good.replacing("fixed", with: "fix"), to: "bad.json")
        for (path, word) in [(bad, "fix is no member"), (folder.file("none.json"), "cannot read")] {
            let failure = #expect(throws: CommandFailure.self) { try IdentityFile(path: path) }
            #expect(failure?.exit == .usage)
            #expect(failure?.message.contains(word) == true, "\(failure?.message ?? "")")
        }
    }

    @Test("keys are read from a file or an address, which is not left for another, and not without a bound")
    func keys() async throws {
        let folder = try ScratchDirectory()
        let file = try folder.write("{}", to: "keys.json")
        #expect(try await Self.keys(at: file) == Array("{}".utf8))
        let large = try folder.write(String(repeating: " ", count: 1 << 21), to: "large.json")
        await #expect(throws: CommandFailure.self) { try await Self.keys(at: large) }
        try await Self.served { base in
            let keys = try await Self.keys(at: "\(base)/keys")
            #expect(keys == Array("{}".utf8))
            for path in ["moved", "large", "none"] {
                await #expect(throws: CommandFailure.self, "\(path)") {
                    try await Self.keys(at: "\(base)/\(path)")
                }
            }
        }
    }

    private static func keys(at place: String) async throws -> [UInt8] {
        try await IdentityFile.keys(at: place, by: GatewayClient(base: place, token: nil))
    }

    /// Runs `body` beside a server of keys, one of whose addresses leads to another and one of which is too long.
    private static func served(_ body: @Sendable (String) async throws -> Void) async throws {
        var router = Router()
        router.on("GET", "/keys") { _ in Response(status: 200, body: .bytes(Array("{}".utf8))) }
        router.on("GET", "/moved") { _ in Response(status: 302, headers: ["Location": "/keys"]) }
        router.on("GET", "/large") { _ in
            Response(status: 200, body: .bytes([UInt8](repeating: 0x20, count: 1 << 21)))
        }
        let server = HTTPServer(
            configuration: HTTPConfiguration(),
            router: router,
            reactor: try Reactor(name: "keys"),
            log: .silent,
            metrics: Metrics(),
            renderError: { _, _ in Response(status: 404) }
        )
        let port = try server.bind()
        let stop = StopSignal()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run(until: stop) }
            defer { stop.raise() }
            try await body("http://127.0.0.1:\(port)")
        }
    }
}
