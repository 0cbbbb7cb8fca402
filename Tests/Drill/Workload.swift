import Domain
import Glibc
import Runtime
import TestKit

/// Who a conversation belongs to and which worker serves it.
struct Place: Sendable, Hashable {
    let org: String
    let agent: String
    let conversation: String
    let token: String

    /// The place that takes over after a while: a list that grows for ever is no conversation.
    func after(_ time: Duration) -> Place {
        let generation = Int(time / .seconds(30))
        guard generation > 0 else { return self }
        let name = "\(self.conversation).\(generation)"
        return Place(org: self.org, agent: self.agent, conversation: name, token: self.token)
    }

    /// Its name in a history.
    var name: String { "\(self.org)/\(self.agent)/\(self.conversation)" }
    var path: String { "/v1/agents/\(self.agent)/conversations/\(self.conversation)" }
}

/// What all clients of a run share.
final class Workload: Sendable {
    let balancer: Balancer
    let start = ContinuousClock.now
    /// How long a client tries before it gives up: longer than any fault lasts.
    let patience: Duration
    private let log = Locked<[ClientTurn]>([])
    private let logs = Locked<[Place: LogReading]>([:])
    private let isOver = Locked(false)

    init(balancer: Balancer, patience: Duration) {
        self.balancer = balancer
        self.patience = patience
    }

    /// No new turns from now on; what was begun is brought to its end.
    func finish() {
        self.isOver.withLock { $0 = true }
    }

    var isFinishing: Bool { self.isOver.withLock { $0 } }
    var readings: [Place: LogReading] { self.logs.withLock { $0 } }
    var history: History { History(turns: self.log.withLock { $0 }, readings: Array(self.readings.values)) }
    var turnsDone: Int { self.log.withLock { $0.count { !$0.seen.isEmpty } } }

    func note(_ turn: ClientTurn) {
        self.log.withLock { $0.append(turn) }
    }

    func note(_ reading: LogReading, of place: Place) {
        self.logs.withLock { $0[place] = reading }
    }

    /// Runs one client of a conversation until the workload finishes. Blocks its thread.
    func converse(_ place: Place, client: Int, seed: UInt64) {
        var random = Seed(seed)
        var number = 0
        while !self.isFinishing {
            number += 1
            let place = place.after(ContinuousClock.now - self.start)
            let name = "\(place.name)#\(client)"
            let key = "\(place.agent)-\(place.conversation)-k\(client)-\(number)"
            self.note(self.perform(place, client: name, key: key, random: &random))
            usleep(UInt32.random(in: 0...120_000, using: &random))
        }
    }

    /// Sends one turn and learns its outcome in one of several ways.
    func perform(_ place: Place, client: String, key: String, random: inout Seed) -> ClientTurn {
        let wish = TurnWish(random: &random)
        var turn = ClientTurn(
            client: client,
            conversation: place.name,
            key: key,
            begun: ContinuousClock.now - self.start
        )
        let talk = TurnTalk(workload: self, place: place, wish: wish, deadline: ContinuousClock.now + self.patience)
        talk.run(&turn)
        return turn
    }
}

/// How a client wants one turn.
struct TurnWish: Sendable {
    let milliseconds: Int
    let follows: Bool
    let cancels: Bool
    let rejectsBusy: Bool
    /// How long to wait before a cancel, in microseconds.
    let cancelDelay: UInt32
    /// Whether the worker is to close its output and live on.
    let mutesWorker: Bool

    init(random: inout Seed) {
        self.milliseconds =
            switch Int.random(in: 0..<100, using: &random) {
            case ..<65: Int.random(in: 0...40, using: &random)
            case ..<93: Int.random(in: 60...500, using: &random)
            default: Int.random(in: 800...2_500, using: &random)
            }
        self.follows = Bool.random(using: &random)
        self.cancels = Int.random(in: 0..<20, using: &random) == 0
        self.rejectsBusy = Int.random(in: 0..<20, using: &random) == 0
        self.cancelDelay = UInt32.random(in: 0...80_000, using: &random)
        self.mutesWorker = false
    }

    init(milliseconds: Int, mutesWorker: Bool = false) {
        self.milliseconds = milliseconds
        self.follows = false
        self.cancels = false
        self.rejectsBusy = false
        self.cancelDelay = 0
        self.mutesWorker = mutesWorker
    }
}
