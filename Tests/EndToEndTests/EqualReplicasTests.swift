import Domain
import TestKit
import Testing

extension EndToEnd {
    @Suite struct EqualReplicasTests {
        @Test(
            "a turn posted to one replica is followed on others and cancelled on a third, with hints and without",
            arguments: ["on", "off"]
        )
        func equalReplicas(hints: String) async throws {
            try await Installation.with { installation in
                let replicas = try await installation.replicas(3, ["hints": hints])
                let clients = replicas.map { installation.client($0.port) }
                try await clients[0].putPaced()
                let start = ContinuousClock.now
                try await Self.follow(clients)
                try await Self.cancel(clients, installation)
                // Whichever replica is asked, the conversation goes on.
                for (number, client) in clients.enumerated() {
                    let list = ReplyList.items(try await client.reply("paced", "stream", "more-\(number)"))
                    #expect(list.count == 2 + number && list.last == "more-\(number)", "\(list)")
                }
                Figures.report(
                    "post, follow, resume and cancel with hints \(hints) took \(ContinuousClock.now - start)"
                )
                try await Ledger(installation).check(turns: 8)
            }
        }

        /// Reads half of a turn's events on the second replica and the rest, by `Last-Event-ID`, on the third.
        private static func follow(_ clients: [Client]) async throws {
            let turn = try await clients[0].submit("paced", "stream", "one 30 0.05")
            let path = Client.path("paced", "stream", "events")
            let half = try await clients[1].http.send("GET", path) { text in
                StreamedEvent.parse(text).filter { $0.type == "delta" }.count >= 8
            }
            let seen = half.events
            #expect(seen.filter(\.isTerminal).isEmpty, "the first half ends in the middle of the turn")
            let last = try #require(seen.last).id
            let rest = try await clients[2].http.send("GET", path, headers: ["Last-Event-ID": "\(last)"]) { text in
                StreamedEvent.parse(text).contains(where: \.isTerminal)
            }
            let all = seen + rest.events
            #expect(all.map(\.id) == Array(1...all.count), "every event once, in order")
            let said = all.filter { $0.type == "delta" }.compactMap { $0.data["text"]?.text }.joined()
            let outcome = try await clients[2].outcome(turn)
            #expect(outcome.state == "completed" && said == outcome.reply)
        }

        /// Cancels a queued and a running turn on a replica that owns neither.
        private static func cancel(_ clients: [Client], _ installation: Installation) async throws {
            _ = try await clients[0].reply("paced", "cancel", "one")
            let running = try await clients[0].submit("paced", "cancel", "two 600 0.05")
            let queued = try await clients[1].submit("paced", "cancel", "three")
            try await installation.says(running, atLeast: 3)
            let first = try await clients[2].http.send("POST", "/v1/turns/\(queued)/cancel")
            #expect(first.status == 200, "\(first.text)")
            #expect(try first.json()["turn"]?["state"]?.text == "cancelled")
            let start = ContinuousClock.now
            let second = try await clients[2].http.send("POST", "/v1/turns/\(running)/cancel")
            // 200 when the worker obeyed before the answer was written.
            #expect([200, 202].contains(second.status), "\(second.text)")
            let outcome = try await clients[1].outcome(running, within: .seconds(10))
            #expect(outcome.state == "cancelled" && outcome.reply.hasPrefix("1 2 3 "), "\(outcome)")
            Figures.report("a running turn was cancelled from another replica in \(ContinuousClock.now - start)")
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(ReplyList.items(try await clients[1].reply("paced", "cancel", "four")) == ["one", "four"])
        }
    }
}
