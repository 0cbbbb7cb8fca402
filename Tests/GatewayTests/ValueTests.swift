import Domain
import Runtime
import TestKit
import Testing
import Workers

@testable import Gateway

@Suite("Values of the gateway")
struct ValueTests {
    @Test("a token's secret is read back as it was made, with the same hash")
    func tokenRoundTrip() throws {
        let secret = TokenSecret.make()
        let read = try #require(TokenSecret(secret.text))
        #expect(read.text == secret.text)
        #expect(read.hash == secret.hash)
        #expect(secret.hash.count == 32)
        #expect(secret.text.hasPrefix("tpk_"))
        #expect(TokenSecret.make().text != secret.text)
    }

    @Test("a token with any one character changed is refused by its checksum")
    func tokenTypos() throws {
        let text = TokenSecret.make().text
        for index in text.indices {
            var typo = text
            typo.replaceSubrange(index...index, with: text[index] == "x" ? "y" : "x")
            #expect(TokenSecret(typo) == nil, "at \(text.distance(from: text.startIndex, to: index))")
        }
        for odd in ["", "tpk_", String(text.dropLast()), text + "0", " " + text.dropFirst()] {
            #expect(TokenSecret(odd) == nil)
        }
    }

    @Test("a session that comes down still writes a reply and a parking that came, unless it is fenced off")
    func abandoning() {
        let failed = Outcome.failed(.workerExited, message: "killed", partial: "")
        let parking = Parking(continuation: [], calls: [])
        let results = [
            TurnResult(outcome: failed, snapshot: nil, workerIsUsable: false),
            TurnResult(outcome: failed, snapshot: nil, workerIsUsable: false, parking: parking),
            TurnResult(outcome: .cancelled(partial: ""), snapshot: nil, workerIsUsable: false),
        ]
        for ending in [SessionEnding.draining, .lockLost] {
            #expect(results.map { $0.isAbandoned(by: ending) } == [true, false, false])
        }
        #expect(results.allSatisfy { $0.isAbandoned(by: .fenced) })
    }

    @Test("every hint is understood as it was meant")
    func hintRoundTrip() {
        let number = ConversationNumber(42)
        let messages: [HintMessage] = [
            .look(number), .events(number), .cancel(number, freshID()), .follow(number, freshID()),
            .interrupt(number, freshID()), .approval(number, freshID()), .drain,
        ]
        for message in messages {
            #expect(HintMessage(payload: message.payload) == message)
        }
    }

    @Test(
        "a hint that this version does not understand is no hint",
        arguments: ["", "look", "look x", "dance 1", "look 1 2", "cancel 1", "cancel 1 x", "follow 1 2 3"]
    )
    func oddHints(payload: String) {
        #expect(HintMessage(payload: payload) == nil)
    }

    @Test("an owner is told of readers once in ten seconds, and a new owner at once")
    func announcements() {
        var announcements = Announcements()
        let (one, other) = (ConversationNumber(1), ConversationNumber(2))
        let (first, second): (ReplicaID, ReplicaID) = (freshID(), freshID())
        let start = ContinuousClock.now
        let asked = [
            (one, first, 0), (one, first, 10), (other, first, 10),
            (one, second, 11), (one, second, 12), (one, second, 22),
        ]
        let due = asked.map { announcements.isDue(of: $0, to: $1, at: start + .seconds($2)) }
        #expect(due == [true, false, true, true, false, true])
        announcements.keep(only: [])
        let isForgotten = announcements.isDue(of: one, to: second, at: start + .seconds(23))
        #expect(isForgotten)
    }

    @Test("a second loss of the lock session within a re-attachment is not forgotten with the first")
    func lossWithinLoss() {
        var loss = LockLoss()
        let (first, second) = (loss.begin(), loss.begin())
        #expect(first != nil && second == nil)
        let overtaken = [loss.end(in: 2, current: nil), loss.end(in: 2, current: 3)]
        #expect(overtaken.allSatisfy { $0 == nil } && loss.regained === first)
        let ended = loss.end(in: 3, current: 3)
        #expect(ended === first && loss.regained == nil)
        let next = loss.begin()
        #expect(next != nil && next !== first)
    }

    @Test("a bell rung many times wakes one wait, and the next one waits")
    func wakeUp() async throws {
        let bell = WakeUp(reactor: try TestPlatform.reactor())
        for _ in 0..<10 { bell.signal() }
        let clock = ContinuousClock()
        let rung = await clock.measure { await bell.wait(atMost: .seconds(10)) }
        #expect(rung < .seconds(5))
        let quiet = await clock.measure { await bell.wait(atMost: .milliseconds(50)) }
        #expect(quiet >= .milliseconds(50))
    }

    @Test("a wait ends when the bell rings, when the stop is raised and when its task is cancelled")
    func wakeUpEnds() async throws {
        let reactor = try TestPlatform.reactor()
        let (bell, other, stop) = (WakeUp(reactor: reactor), WakeUp(reactor: reactor), StopSignal())
        let clock = ContinuousClock()
        for end in [{ bell.signal() }, { stop.raise() }] {
            let waited = await clock.measure {
                async let waiting: Void = bell.wait(atMost: .seconds(120), or: stop)
                end()
                await waiting
            }
            #expect(waited < .seconds(60))
        }
        let waited = await clock.measure {
            let waiting = Task { await other.wait(atMost: .seconds(120)) }
            waiting.cancel()
            await waiting.value
        }
        #expect(waited < .seconds(60))
    }

    @Test("100 tasks that want one conversation of this process: one gets it")
    func registryIsAGate() async {
        let registry = ConversationRegistry()
        let number = ConversationNumber(7)
        let entered = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { registry.enter(number) } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(entered == 1)
        registry.leave(number)
        #expect(registry.enter(number))
    }
}
