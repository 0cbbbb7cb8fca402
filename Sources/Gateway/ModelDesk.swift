package import Domain
package import Runtime
import Store
import Workers

/// Who may ask a model now: the turns that run on this replica, by the digests of their tokens.
///
/// A process gets its environment once and may serve many turns, so what it has there is a token of its own, which is
/// entered here for as long as one of its turns runs: a token without a running turn is unknown, whoever has it.
package final class ModelDesk: Sendable {
    private let turns = Locked<[[UInt8]: ModelTurn]>([:])

    init() {}

    /// The running turn that `token` stands for; nil when there is none.
    package func turn(bearing token: String) -> ModelTurn? {
        let digest = WorkerToken.digest(of: token)
        return self.turns.withLock { $0[digest] }
    }

    func open(_ turn: ModelTurn) {
        self.turns.withLock { turns in
            for digest in turn.digests { turns[digest] = turn }
        }
    }

    /// What the turn has under way is cut off.
    func close(_ turn: ModelTurn) {
        self.turns.withLock { turns in
            for digest in turn.digests { turns[digest] = nil }
        }
        turn.over.raise()
    }
}

/// Why a worker may not ask its model now.
package enum ModelRefusal: Error, Sendable, Hashable {
    /// The turn has ended, or is somebody else's by now.
    case over
    /// The turn has used up its share.
    case spent(ModelBudget.Spent)
    /// So many calls are open already.
    case busy(limit: Int)
}

/// One run of a turn whose worker may ask a model: what it may, and what the turn has used.
package final class ModelTurn: Sendable {
    /// Whose turn it is; nil for one that was enqueued without.
    package let org: OrganizationID?
    /// Its agent.
    package let agent: AgentID
    /// The turn.
    package let id: TurnID
    /// What it may.
    package let access: ModelAccess
    /// Raised when the turn is over on this replica.
    package let over = StopSignal()

    private struct State {
        var budget: ModelBudget
        var open = 0
    }

    let digests: [[UInt8]]
    private let fence: Fence
    private let store: Store
    private let backends: BackendKeeper
    private let limits: Limits
    private let cacheKey: String?
    private let state: Locked<State>

    /// `used`: what earlier runs of the turn have used. `tokens`: the turn's own, and its worker's. `cacheKey`: for calls
    /// that name none.
    init(
        _ turn: TurnID,
        of claim: Claim,
        access: ModelAccess,
        used: ModelUse,
        fence: Fence,
        tokens: [WorkerToken],
        store: Store,
        backends: BackendKeeper,
        cacheKey: String?,
        limits: Limits
    ) {
        (self.id, self.org, self.agent) = (turn, claim.org, claim.agent)
        self.access = access
        self.fence = fence
        self.digests = tokens.map(\.digest)
        self.store = store
        self.backends = backends
        self.cacheKey = cacheKey
        self.limits = limits
        self.state = Locked(State(budget: ModelBudget(access, used: used)))
    }

    /// Whether it still runs, under the same fence, by the database. Throws `GatewayError.unavailable` when that cannot be
    /// known.
    package func isRunning() async throws -> Bool {
        guard !self.over.isRaised else { return false }
        let memory = self.limits.backendMemory
        let found = try await reaching { try await self.store.served(self.id, fence: self.fence, memory: memory) }
        guard let served = found else { return false }
        self.backends.remember(served)
        return !self.over.isRaised
    }

    /// Counts a call in; `end` has to follow. What is counted is written down before the call is made, so that no run of the
    /// turn, wherever it is, begins with more than is left. Throws `ModelRefusal`, and `GatewayError.unavailable` when that
    /// cannot be written: then the call is not to be made.
    package func begin(bytes: Int) async throws {
        let atOnce = self.limits.modelCallsAtOnce
        let unwritten = try self.state.withLock { state throws(ModelRefusal) -> ModelUse? in
            guard state.open < atOnce else { throw .busy(limit: atOnce) }
            if let spent = state.budget.begin(bytes: bytes) { throw .spent(spent) }
            state.open += 1
            return state.budget.takeUnwritten()
        }
        guard let unwritten else { return }
        do {
            guard try await self.write(unwritten) else { throw ModelRefusal.over }
        } catch {
            self.state.withLock { state in
                state.budget.takeBack(bytes: bytes)
                state.open -= 1
            }
            throw error
        }
    }

    /// Writes down what the last answers have cost; the turn goes on, or ends, without that where it cannot be.
    func flush() async throws {
        guard let unwritten = self.state.withLock({ $0.budget.takeUnwritten() }) else { return }
        _ = try await self.write(unwritten)
    }

    /// False when the turn is no longer this fence's.
    private func write(_ use: ModelUse) async throws -> Bool {
        do {
            return try await reaching { try await self.store.add(use, to: self.id, fence: self.fence) }
        } catch {
            self.state.withLock { $0.budget.giveBack(use) }
            throw error
        }
    }

    /// Counts a piece of an answer; false when it is too much.
    package func receive(bytes: Int) -> Bool {
        self.state.withLock { $0.budget.receive(bytes: bytes) }
    }

    /// A call is over and has cost so many tokens.
    package func end(tokens: Int) {
        self.state.withLock { state in
            state.budget.pay(tokens: tokens)
            state.open -= 1
        }
    }

    /// The backend to hint at; nil when none is known, or the one that is is passed over.
    package var hint: BackendID? { self.backends.hint }

    /// A call that hinted at its backend was refused for want of room, or not answered in time.
    package func foundNoRoom() {
        self.backends.foundNoRoom()
    }

    /// An answer said who gave it.
    package func saw(_ backend: BackendID, cacheKey: String?) {
        self.backends.saw(BackendTracker.Sighting(backend, cacheKey: cacheKey ?? self.cacheKey))
    }
}
