import Domain
import Glibc
import Runtime
import TestKit
import Testing

extension EndToEnd {
    @Suite struct RollingRestartTests {
        static let conversations = 6
        private static let lastWord = "finis"

        @Test(
            "three replicas restarted one by one under load refuse nothing, lose no turn, and streams resume gapless",
            arguments: Balancer.Kind.allCases
        )
        func rollingRestart(_ kind: Balancer.Kind) async throws {
            try await Installation.with { installation in
                let ports = try (0..<3).map { _ in try LocalSocket.freePort() }
                var replicas: [Replica] = []
                for port in ports { replicas.append(try await installation.replica(Self.settings(port))) }
                let balancer = try await Balancer.start(kind, to: ports, in: installation.folder)
                let client = installation.client(balancer.port)
                try await client.putPaced()
                let (over, retries) = (StopSignal(), Locked(0))
                var turns = 0
                var resumed = 0
                let start = ContinuousClock.now
                try await withThrowingTaskGroup(of: (turns: Int, resumed: Int).self) { group in
                    for number in 0..<Self.conversations {
                        group.addTask {
                            async let resumed = Self.follow(client, "c-\(number)")
                            let turns = try await Self.converse(client, "c-\(number)", until: over, retries)
                            return (turns, try await resumed)
                        }
                    }
                    defer { over.raise() }
                    try await Self.roll(replicas, ports, installation)
                    over.raise()
                    for try await told in group {
                        turns += told.turns
                        resumed += told.resumed
                    }
                }
                #expect(resumed >= 1, "a stream broke and resumed")
                try await Ledger(installation).check(turns: turns)
                Figures.report(
                    "three replicas behind \(kind.rawValue) restarted in \(ContinuousClock.now - start) under \(turns) turns: 0 accepts failed, "
                        + "\(retries.withLock { $0 }) requests sent again, \(resumed) streams resumed"
                )
                try await balancer.stop()
            }
        }

        private static func settings(_ port: Int) -> [String: String] {
            ["listen": "127.0.0.1:\(port)", "drain_seconds": "10"]
        }

        /// Each replica is told to leave; once it has closed its door, another one opens it again. Returns when those
        /// that were told have ended, their last streams cut.
        private static func roll(_ replicas: [Replica], _ ports: [Int], _ installation: Installation) async throws {
            for (replica, port) in zip(replicas, ports) {
                replica.process.signal(SIGTERM)
                try await eventually("its door is closed", within: .seconds(10)) {
                    do {
                        close(try LocalSocket.connect(port: port))
                        return false
                    } catch {
                        return true
                    }
                }
                _ = try await installation.replica(self.settings(port))
            }
            for replica in replicas { #expect(try await replica.process.end(within: .seconds(20)) == 0) }
        }

        /// Posts one turn after another until told, then a last one; returns how many. Each reply is the whole list.
        static func converse(
            _ client: Client,
            _ name: String,
            until over: StopSignal,
            _ retries: Locked<Int>
        ) async throws -> Int {
            var list: [String] = []
            while list.last != self.lastWord {
                list.append(over.isRaised ? self.lastWord : "t\(list.count)")
                let body = #"{"input":"\#(list.last ?? "") 4 0.05"}"#
                let path = Client.path("paced", name, "turns")
                let posted = try await self.send(client, retries, "POST", path, body, list)
                guard let id = posted["turn"]?["id"]?.text else {
                    throw Client.Unexpected(description: "not accepted: \(posted)")
                }
                var outcome: JSONValue?
                while outcome == nil || outcome == .null {
                    outcome = try await self.send(client, retries, "GET", "/v1/turns/\(id)?wait=2")["turn"]?["outcome"]
                }
                #expect(ReplyList.items(outcome?["reply"]?.text ?? "") == list, "\(String(describing: outcome))")
            }
            return list.count
        }

        /// Sends as clients with retries do: again, with the same key, when there was no answer or only the balancer's.
        private static func send(
            _ client: Client,
            _ retries: Locked<Int>,
            _ method: String,
            _ target: String,
            _ body: String? = nil,
            _ list: [String] = []
        ) async throws -> JSONValue {
            let deadline = ContinuousClock.now + .seconds(15)
            let key = list.last.map { ["Idempotency-Key": "\(target) \($0)"] } ?? [:]
            while ContinuousClock.now < deadline {
                do {
                    let answer = try await client.http.send(method, target, body, headers: key)
                    if (200..<300).contains(answer.status) { return try answer.json() }
                    guard [502, 503, 504].contains(answer.status) else {
                        throw Client.Unexpected(description: "\(answer.status) \(answer.text)")
                    }
                } catch is HTTPClient.NoAnswer {
                    // Cut off before the answer.
                } catch is DecodingError {
                    // Cut off within it.
                }
                retries.withLock { $0 += 1 }
                try await Task.sleep(for: .milliseconds(50))
            }
            throw Client.Unexpected(description: "no answer to \(method) \(target)")
        }

        /// Reads a conversation's events to the last turn's end, from where the stream before broke off; returns how
        /// many times it did. No number is missing and none comes twice.
        private static func follow(_ client: Client, _ name: String) async throws -> Int {
            var ids: [Int] = []
            var broken = 0
            let sawLastWord = Locked(false)
            let isOver: @Sendable ([StreamedEvent]) -> Bool = { events in
                let saysIt = events.contains { "\($0.data)".contains(Self.lastWord) }
                if saysIt { sawLastWord.withLock { $0 = true } }
                return sawLastWord.withLock { $0 } && events.last?.isTerminal == true
            }
            let deadline = ContinuousClock.now + .seconds(80)
            while ContinuousClock.now < deadline {
                do {
                    let answer = try await client.http.send(
                        "GET",
                        Client.path("paced", name, "events"),
                        headers: ["Accept": "text/event-stream", "Last-Event-ID": "\(ids.last ?? 0)"],
                        enough: { isOver(StreamedEvent.parse($0)) }
                    )
                    let events = answer.status == 200 ? answer.events : []
                    ids += events.map(\.id)
                    #expect(ids == ids.indices.map { $0 + 1 }, "\(name): \(ids)")
                    if isOver(events) { return broken }
                    if !events.isEmpty { broken += 1 }
                } catch is HTTPClient.NoAnswer {
                    // Cut off before the first event.
                }
                try await Task.sleep(for: .milliseconds(50))
            }
            throw Client.Unexpected(description: "the last turn of \(name) was not read: \(ids.count) events")
        }
    }
}
