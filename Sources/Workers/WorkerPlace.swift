package import Domain
import Runtime

/// The right to have one worker more, counted against the replica's and the agent's limits until it is released.
///
/// It may come with a spare worker: `start` uses it, and releasing the place unused puts it back.
package final class WorkerPlace: Sendable {
    /// The spare worker that was made for one like this; nil when there is none.
    let spare: Spare?
    /// The worker that had the place and is being killed; the next may not start before it is gone.
    let previous: Worker?
    private let onRelease: Locked<(@Sendable () -> Void)?>

    init(spare: Spare? = nil, after previous: Worker? = nil, _ onRelease: @escaping @Sendable () -> Void) {
        self.spare = spare
        self.previous = previous
        self.onRelease = Locked(onRelease)
    }

    deinit {
        self.release()
    }

    /// The workspace that the conversation gets with the spare worker.
    package var workspace: WorkspaceID? { self.spare?.workspace }

    /// Gives the place back. Releasing twice is harmless; a worker releases its own when it is gone.
    package func release() {
        self.forfeit()?()
    }

    /// Gives the right away: nothing is done at the release any more. Returns what would have been; nil if it was.
    func forfeit() -> (@Sendable () -> Void)? {
        self.onRelease.withLock { stored in
            defer { stored = nil }
            return stored
        }
    }

    /// Takes the right back.
    func regain(_ onRelease: @escaping @Sendable () -> Void) {
        self.onRelease.withLock { $0 = onRelease }
    }
}

/// A worker that waits for a conversation, in a place of its own.
struct Spare: Sendable {
    let key: AgentKey
    let version: Int64
    let workspace: WorkspaceID
    let worker: Worker
    let place: WorkerPlace
    /// False while it starts: it can make room, but not be taken.
    var isReady = false
}

/// Whose workers are counted together.
struct AgentKey: Hashable, Sendable {
    let org: OrganizationID?
    let agent: AgentID
}

extension WorkerPool {
    /// Who has which place. A value: what to do about it is up to the pool.
    struct State {
        private(set) var places = 0
        private(set) var placesByAgent: [AgentKey: Int] = [:]
        var workers: [ObjectIdentifier: Worker] = [:]
        /// In the order in which they were started.
        var spares: [Spare] = []
        var isClosed = false

        /// Where a worker's place came from.
        enum Found {
            case none
            case free
            /// This spare's.
            case spare(Spare)
            /// This spare's, which has to go.
            case vacated(Spare)
        }

        /// Takes a place: with a spare of `version` if there is one, else a free one, else a spare's.
        mutating func take(for key: AgentKey, maximum: Int, version: Int64?, of total: Int) -> Found {
            guard !self.isClosed else { return .none }
            while let version,
                let index = self.spares.firstIndex(where: { $0.isReady && $0.key == key && $0.version == version })
            {
                let spare = self.spares.remove(at: index)
                // One that has just ended has given its place back itself.
                if spare.place.forfeit() != nil { return .spare(spare) }
            }
            let agentIsFull = self.placesByAgent[key, default: 0] >= maximum
            if !agentIsFull, self.places < total {
                self.add(key)
                return .free
            }
            while let index = self.spares.firstIndex(where: { !agentIsFull || $0.key == key }) {
                let spare = self.spares.remove(at: index)
                guard spare.place.forfeit() != nil else { continue }
                self.release(spare.key)
                self.add(key)
                return .vacated(spare)
            }
            return .none
        }

        /// Takes a free place for a spare, which nobody makes room for.
        mutating func takeFree(for key: AgentKey, maximum: Int, of total: Int) -> Bool {
            guard !self.isClosed, self.places < total, self.placesByAgent[key, default: 0] < maximum else {
                return false
            }
            self.add(key)
            return true
        }

        mutating func release(_ key: AgentKey) {
            self.places -= 1
            let left = self.placesByAgent[key, default: 1] - 1
            self.placesByAgent[key] = left > 0 ? left : nil
        }

        private mutating func add(_ key: AgentKey) {
            self.places += 1
            self.placesByAgent[key, default: 0] += 1
        }
    }
}
