import Domain
import Runtime
import Store

/// What one replica may tell another. Ids only; whoever misses one finds out by its own poll.
enum HintMessage: Sendable, Hashable {
    /// A conversation you own needs a look: a turn waits, or it was deleted.
    case look(ConversationNumber)
    /// The running turn of a conversation you own is to be cancelled.
    case cancel(ConversationNumber, TurnID)
    /// The running turn of a conversation you own is to be stopped, because a newer one interrupts it.
    case interrupt(ConversationNumber, TurnID)
    /// A question of a worker of a conversation you own was decided.
    case approval(ConversationNumber, ApprovalID)
    /// A replica has readers for a conversation you own.
    case follow(ConversationNumber, ReplicaID)
    /// A conversation that your readers follow has new events.
    case events(ConversationNumber)
    /// You were asked to drain.
    case drain

    var payload: String {
        switch self {
        case .look(let number): "look \(number)"
        case .cancel(let number, let turn): "cancel \(number) \(turn)"
        case .interrupt(let number, let turn): "interrupt \(number) \(turn)"
        case .approval(let number, let id): "approval \(number) \(id)"
        case .follow(let number, let replica): "follow \(number) \(replica)"
        case .events(let number): "events \(number)"
        case .drain: "drain"
        }
    }

    /// Nil for what this version does not understand: another version may say more.
    init?(payload: String) {
        if payload == "drain" {
            self = .drain
            return
        }
        let words = payload.split(separator: " ").map(String.init)
        guard words.count >= 2, let value = Int64(words[1]) else { return nil }
        let number = ConversationNumber(value)
        switch (words[0], words.count) {
        case ("look", 2): self = .look(number)
        case ("events", 2): self = .events(number)
        case ("cancel", 3):
            guard let turn = TurnID(words[2]) else { return nil }
            self = .cancel(number, turn)
        case ("interrupt", 3):
            guard let turn = TurnID(words[2]) else { return nil }
            self = .interrupt(number, turn)
        case ("approval", 3):
            guard let id = ApprovalID(words[2]) else { return nil }
            self = .approval(number, id)
        case ("follow", 3):
            guard let replica = ReplicaID(words[2]) else { return nil }
            self = .follow(number, replica)
        default: return nil
        }
    }
}

/// Sends hints: at once when idle, merged while a send is under way, never on anybody's write path.
final class HintSender: Service {
    let name = "hints"
    private let store: Store
    private let log: Logger
    private let isEnabled: Bool
    private let pending = Locked<Set<Hint>>([])
    private let wake: WakeUp

    init(store: Store, isEnabled: Bool, reactor: Reactor, log: Logger) {
        self.wake = WakeUp(reactor: reactor)
        self.store = store
        self.isEnabled = isEnabled
        self.log = log
    }

    /// Queues a hint. Returns at once; equal hints that wait together are sent once.
    func send(_ message: HintMessage, to replica: ReplicaID) {
        guard self.isEnabled else { return }
        self.pending.withLock { _ = $0.insert(Hint(to: replica, payload: message.payload)) }
        self.wake.signal()
    }

    func run(until stop: StopSignal) async throws {
        while !stop.isRaised {
            await self.wake.wait(atMost: .seconds(60), or: stop)
            let batch = self.pending.withLock { pending in
                defer { pending = [] }
                return Array(pending)
            }
            guard !batch.isEmpty else { continue }
            do {
                try await self.store.send(batch)
            } catch {
                // A hint lost is a poll waited for.
                self.log.debug("hints were not sent", ["count": .count(batch.count), "error": .error(error)])
            }
        }
    }
}
