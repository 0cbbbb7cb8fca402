import Domain
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// Two organizations that call everything by the same names.
@Suite(.serialized)
struct EqualNamesTests {
    private static let path = "/v1/agents/list/conversations/c"
    private static let agent = #"""
        {"driver":"command","command":["/bin/sh","-c","cat >> $HOME/list; cat $HOME/list"],
        "store_mode":"snapshot","snapshots":{"kind":"directory"}}
        """#

    @Test("equal names in two organizations never meet: not in queues, keys, locks, folders, snapshots or streams")
    func apart() async throws {
        try await APIFixture.with { fixture in
            let rival = try await fixture.client(of: "rival", Set(Scope.allCases))
            let both = [("acme", fixture.client), ("rival", rival)]
            for (_, client) in both {
                #expect(try await client.send("PUT", "/v1/agents/list", Self.agent).status == 200)
            }
            var turns: [Set<String>] = [[], []]
            var said = ""
            for number in 1...3 {
                // Both at once, so that they would meet in a worker, a session or a lock if they could.
                async let first = Self.say(both[0], number)
                async let second = Self.say(both[1], number)
                let answers = try await [first, second]
                said += String(number)
                for (index, answer) in answers.enumerated() {
                    let name = both[index].0
                    #expect(answer.reply == said.map { "\(name)\($0)" }.joined())
                    turns[index].insert(answer.turn)
                }
            }
            #expect(turns[0].count == 3 && turns[1].count == 3 && turns[0].isDisjoint(with: turns[1]))
            for (index, (name, client)) in both.enumerated() {
                let page = try await client.send("GET", "\(Self.path)/events", headers: ["Accept": "application/json"])
                let seen = try page.json()["events"]?.elements?.compactMap { $0["turn"]?.text } ?? []
                #expect(Set(seen) == turns[index])
                #expect(!page.text.contains(name == "acme" ? "rival" : "acme"))
                let links = try await client.send("GET", "\(Self.path)/snapshots").json()["snapshots"]?.elements ?? []
                #expect(links.map { $0["seq"]?.integer } == [1, 2, 3])
            }
            #expect(try await Self.keys(fixture).count == 2)
            #expect(try await rival.send("DELETE", Self.path).status == 204)
            #expect(try await rival.send("GET", Self.path).status == 410)
            #expect(try await Self.say(both[0], 4).reply == "acme1acme2acme3acme4")
        }
    }

    /// Says the organization's name and a number, under a client key that the other one uses too.
    private static func say(_ member: (String, Probe), _ number: Int) async throws -> (turn: String, reply: String?) {
        let accepted = try await member.1.send(
            "POST",
            "\(self.path)/turns",
            #"{"input":"\#(member.0)\#(number)","client_key":"key-\#(number)"}"#
        )
        #expect(accepted.status == 202)
        let turn = try #require(try accepted.json()["turn"]?["id"]?.text)
        let shown = try await member.1.send("GET", "/v1/turns/\(turn)?wait=30").json()
        return (turn, shown["turn"]?["outcome"]?["reply"]?.text)
    }

    /// The keys of the conversations' locks.
    private static func keys(_ fixture: APIFixture) async throws -> Set<Int64> {
        let pool = ConnectionPool(
            configuration: .init(conninfo: fixture.conninfo, size: 1),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let rows = try await pool.query(
            """
            SELECT turnpike.lock_key(org, agent, conversation) AS key FROM turnpike.conversations
            WHERE conversation IS NOT NULL
            """
        )
        await pool.close()
        return Set(try rows.map { try $0.get("key") })
    }
}
