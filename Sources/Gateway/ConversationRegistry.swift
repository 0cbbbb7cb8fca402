import Domain
import Faults
import Runtime

/// The sessions of this replica: the first gate of mutual exclusion.
///
/// PostgreSQL grants a session its own lock twice, and one lock session holds every lock of the replica, so exclusion
/// within the process must be ours.
final class ConversationRegistry: Sendable {
    private enum Entry {
        /// Being acquired; no session yet.
        case entering
        case live(ConversationSession)
    }

    private let entries = Locked<[ConversationNumber: Entry]>([:])

    init() {}

    /// Reserves a conversation for this caller; false when somebody in this process has it.
    func enter(_ number: ConversationNumber) -> Bool {
        self.entries.withLock { entries in
            guard entries[number] == nil else { return false }
            entries[number] = .entering
            return true
        }
    }

    /// Publishes the session of an entered conversation.
    func publish(_ session: ConversationSession) {
        self.entries.withLock { $0[session.number] = .live(session) }
    }

    /// Frees the conversation. The last thing before its lock is let go.
    func leave(_ number: ConversationNumber) {
        self.entries.withLock { entries in _ = entries.removeValue(forKey: number) }
    }

    /// The live session of a conversation, if this replica has it.
    func session(_ number: ConversationNumber) -> ConversationSession? {
        self.entries.withLock { entries in
            guard case .live(let session)? = entries[number] else { return nil }
            return session
        }
    }

    /// The live session that holds exactly this fence: the conversation may have a newer one.
    func session(holding fence: Fence) -> ConversationSession? {
        self.session(fence.conversation).flatMap { $0.fence == fence ? $0 : nil }
    }

    /// All live sessions, in no order.
    func sessions() -> [ConversationSession] {
        self.entries.withLock { entries in
            entries.values.compactMap { entry in
                guard case .live(let session) = entry else { return nil }
                return session
            }
        }
    }

    /// The conversations this process has, those being acquired included, in no order.
    var numbers: [ConversationNumber] { self.entries.withLock { Array($0.keys) } }

    /// How many there are.
    var count: Int { self.entries.withLock { $0.count } }
}

/// Finds a live session by what a client names, without asking the database.
final class SessionIndex: Sendable {
    private let sessions = Locked<[ConversationKey: ConversationSession]>([:])

    init() {}

    subscript(key: ConversationKey) -> ConversationSession? {
        self.sessions.withLock { sessions in
            guard PlantedBug.joinedKeys.isPlanted else { return sessions[key] }
            return sessions.first { Self.joined($0.key) == Self.joined(key) }?.value
        }
    }

    private static func joined(_ key: ConversationKey) -> String {
        "\(key.org):\(key.agent):\(key.conversation)"
    }

    func add(_ session: ConversationSession) {
        guard let key = session.key else { return }
        self.sessions.withLock { $0[key] = session }
    }

    func remove(_ session: ConversationSession) {
        guard let key = session.key else { return }
        self.sessions.withLock { sessions in
            if sessions[key] === session { sessions[key] = nil }
        }
    }
}
