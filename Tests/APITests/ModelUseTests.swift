import Domain
import Foundation
import HTTP
import Postgres
import Runtime
import Store
import TestKit
import Testing

@testable import API
@testable import Gateway

/// What a turn has used of its models, and what the database has to say about a call, when things go wrong.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ModelUseTests {
    @Test("a turn that runs again has what its dead run left of its budget, and no more")
    func retried() async throws {
        try await ModelRig.with { rig in
            // Each run says its token; the first one dies when its file is there, the second one ends.
            let wait = #"while [ ! -e "$path" ]; do sleep 0.02; done"#
            let script =
                #"read path; echo $OPENAI_API_KEY; if [ -e "$path.died" ]; then path=$path.2; \#(wait); "#
                + #"else \#(wait); touch "$path.died"; exit 3; fi"#
            var configuration = AgentConfiguration(driver: .command, command: ["sh", "-c", script], storeMode: .none)
            var access = ModelAccess(upstream: "up")
            (access.calls, access.tokens) = (3, 1_000)
            (configuration.model, configuration.retries) = (access, 1)
            _ = try await rig.fixture.gateway.tenant(rig.fixture.org).putAgent(try AgentID("mortal"), configuration)
            rig.upstream.answer { _ in ScriptedUpstream.completion("x", tokens: 60) }
            let first = try await rig.begin(agent: "mortal")
            for _ in 0..<2 { #expect(try await rig.call(first).status == 200) }
            try Data().write(to: URL(fileURLWithPath: first.path))
            let tokens = Locked<[String]>([])
            try await eventually("the second run's token") {
                let events = try await rig.events(agent: "mortal")
                let said = events.filter { $0["type"]?.text == "delta" }.compactMap { $0["text"]?.text }
                tokens.withLock { $0 = said.joined().split(whereSeparator: \.isWhitespace).map(String.init) }
                return tokens.withLock { $0.count } == 2
            }
            let second = ModelRig.Turn(
                id: first.id,
                path: first.path + ".2",
                tokens: tokens.withLock { Array($0.suffix(1)) }
            )
            #expect(try await rig.call(first).status == 401, "the dead run's token is worthless")
            #expect(try await rig.call(second).status == 200)
            #expect(try await rig.call(second).code == "budget_spent")
            #expect(rig.upstream.requests.count == 3)
            #expect(try await rig.end(second) == "completed")
            let used = try await rig.fixture.gateway.store.modelUse(try #require(TurnID(first.id)))
            #expect(used.calls == 3 && used.tokens == 180 && used.bytes > 0)
        }
    }

    @Test("while PostgreSQL is away a worker's call is answered 503 with Retry-After, and no upstream hears of it")
    func outage() async throws {
        try await ModelRig.with { rig in
            for bound in [nil, 10] {
                try await rig.put { $0.calls = bound }
                let conversation = "c-\(bound ?? 0)"
                let turn = try await rig.begin(conversation: conversation)
                #expect(try await rig.call(turn).status == 200)
                let before = rig.upstream.requests.count
                try await rig.withoutDatabase {
                    let refused = try await rig.call(turn)
                    #expect(refused.status == 503 && refused.code == "unavailable", "\(refused.text)")
                    #expect(refused.headers["retry-after"] != nil)
                    #expect(rig.upstream.requests.count == before)
                }
                // Whether the turn has outlived the outage or not: models are asked again.
                let later = try await rig.begin(conversation: "later-\(bound ?? 0)")
                #expect(try await rig.call(later).status == 200)
                try await rig.end(later)
                _ = try await rig.end(turn)
            }
        }
    }
}

extension ModelRig {
    /// Takes the replica's database away for as long as `body` lasts.
    fileprivate func withoutDatabase(_ body: () async throws -> Void) async throws {
        let pool = ConnectionPool(
            configuration: .init(conninfo: self.fixture.conninfo + " dbname=postgres", size: 1),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let parts = self.fixture.conninfo.split(separator: " ")
        let name = try #require(parts.last { $0.hasPrefix("dbname=") }?.dropFirst("dbname=".count))
        let quoted = name.trimmingCharacters(in: ["'"])
        func allow(_ isAllowed: Bool) async throws {
            _ = try await pool.query(Query(unescaped: "ALTER DATABASE \"\(quoted)\" ALLOW_CONNECTIONS \(isAllowed)"))
        }
        try await allow(false)
        _ = try await pool.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \(quoted)::text"
        )
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        try await allow(true)
        await pool.close()
        try result.get()
    }
}
