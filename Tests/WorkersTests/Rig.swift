import Domain
import Foundation
import Runtime
import Subprocess
import Testing

@testable import Workers

/// A pool with everything below it, in a directory of its own.
struct Rig {
    let reactor: Reactor
    let pool: WorkerPool
    let metrics = Metrics()
    let root: String

    static let python = "/usr/bin/python3"
    static let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Doubles/worker_double.py").path

    init(_ change: (inout Limits) -> Void = { _ in }) throws {
        var limits = Limits()
        change(&limits)
        self.root = FileManager.default.temporaryDirectory.appending(path: "turnpike-\(UUID())").path
        self.reactor = try Reactor(name: "workers-test")
        let spawner = try Spawner(
            launcher: Spawner.findLauncher(),
            reactor: self.reactor,
            blocking: nil,
            log: .silent,
            metrics: nil
        )
        self.pool = WorkerPool(
            spawner: spawner,
            limits: limits,
            workspaces: self.root,
            log: .silent,
            metrics: self.metrics
        )
    }

    func close() async throws {
        await self.pool.endAll()
        self.reactor.stop()
        if FileManager.default.fileExists(atPath: self.root) { try FileManager.default.removeItem(atPath: self.root) }
    }

    /// A configuration of the scripted double, with short times.
    static func configuration(
        _ mode: String...,
        store: StoreMode = .none,
        _ change: (inout AgentConfiguration) -> Void = { _ in }
    ) -> AgentConfiguration {
        var configuration = AgentConfiguration(
            driver: .acp,
            command: [Self.python, "-I", "-S", Self.double] + mode,
            storeMode: store
        )
        configuration.limits.graceSeconds = 1
        change(&configuration)
        return configuration
    }

    /// A configuration of the double that keeps its sessions.
    static func keeper(_ mode: String, _ change: (inout AgentConfiguration) -> Void = { _ in }) -> AgentConfiguration {
        let script = Self.double.replacing("worker_double.py", with: "session_double.py")
        return Self.configuration(mode) {
            $0.command = [Self.python, "-I", "-S", script, mode]
            change(&$0)
        }
    }

    func order(
        _ configuration: AgentConfiguration,
        conversation: String? = "c",
        chain: [Snapshot] = [],
        epoch: Int64 = 3,
        transcript: Transcript? = nil,
        workspace: WorkspaceID? = nil
    ) throws -> WorkerOrder {
        WorkerOrder(
            org: try OrganizationID("o"),
            agent: try AgentID("a"),
            conversation: try conversation.map { try ConversationID($0) },
            number: ConversationNumber(7),
            configuration: configuration,
            deployment: try #require(DeploymentID(UUID().uuidString)),
            epoch: epoch,
            chain: try SnapshotChain(chain),
            transcript: transcript,
            workspace: workspace
        )
    }

    func place(maximum: Int = 100) throws -> WorkerPlace {
        try #require(self.pool.reserve(org: try OrganizationID("o"), agent: try AgentID("a"), maximum: maximum))
    }

    /// A worker, under a lease when its agent keeps snapshots.
    func start(
        _ configuration: AgentConfiguration,
        conversation: String? = "c",
        chain: [Snapshot] = [],
        epoch: Int64 = 3,
        transcript: Transcript? = nil
    ) async throws -> Worker {
        let order = try self.order(
            configuration,
            conversation: conversation,
            chain: chain,
            epoch: epoch,
            transcript: transcript
        )
        switch await self.pool.start(try Self.permit(order), order, in: try self.place()) {
        case .started(let worker): return worker
        case .failed(let error, let lease):
            Self.drop(lease)
            throw error
        }
    }

    /// The error with which a start fails, and whether the lease came back.
    func failStart(_ configuration: AgentConfiguration) async throws -> (error: WorkerError?, hasLease: Bool) {
        let order = try self.order(configuration)
        switch await self.pool.start(try Self.permit(order), order, in: try self.place()) {
        case .started(let worker):
            Self.drop(await worker.end())
            return (nil, false)
        case .failed(let error, let lease):
            return (error, Self.isThere(lease))
        }
    }

    static func permit(_ order: WorkerOrder) throws -> SpawnPermit {
        let run = RunID(UUID().uuidString)
        switch SpawnGuard.decide(
            storeMode: order.configuration.storeMode,
            run: run,
            org: order.org,
            agent: order.agent,
            conversation: order.conversation
        )
        {
        case .takeLease(let demand):
            let nonce = try #require(Nonce(UUID().uuidString))
            let fence = Fence(conversation: order.number, epoch: order.epoch, nonce: nonce)
            return SpawnPermit(under: Lease(demand, lock: LockKey(1), fence: fence))
        case .spawn(let permit): return permit
        case .refuse(let refusal):
            throw WorkerError(code: .guardRefused, message: "\(refusal)")
        }
    }

    static func drop(_ lease: consuming Lease?) {}

    static func isThere(_ lease: consuming Lease?) -> Bool {
        switch consume lease {
        case .some: true
        case .none: false
        }
    }

    static func turn(_ text: String = "hello there", run: Bool = true, cancelled: Bool = false, seconds: Int? = nil)
        throws -> ArmedTurn
    {
        ArmedTurn(
            id: try #require(TurnID(UUID().uuidString)),
            seq: 1,
            run: run ? RunID(UUID().uuidString) : nil,
            attempt: 1,
            input: TurnInput(text: text),
            deadlineSeconds: seconds,
            cancelRequested: cancelled
        )
    }

    /// Performs one turn with one worker, ends the worker, and returns what the turn came to.
    func once(_ configuration: AgentConfiguration, seconds: Int? = nil) async throws -> TurnResult {
        let worker = try await self.start(configuration)
        let result = await worker.perform(try Self.turn(seconds: seconds))
        Self.drop(await worker.end())
        return result
    }
}

extension Worker {
    /// A turn whose questions and events nobody looks at.
    func perform(
        _ turn: ArmedTurn,
        wantsBase: Bool = true,
        deadline: ContinuousClock.Instant? = nil
    ) async -> TurnResult {
        await self.perform(turn, wantsBase: wantsBase, deadline: deadline, ask: { _ in .cancelled }, emit: { _ in })
    }
}

extension Outcome {
    var reply: String? {
        guard case .completed(let reply) = self else { return nil }
        return reply.text
    }

    var failure: FailureCode? {
        guard case .failed(let code, _, _) = self else { return nil }
        return code
    }

    var message: String? {
        guard case .failed(_, let message, _) = self else { return nil }
        return message
    }

    var partial: String? {
        switch self {
        case .completed: nil
        case .failed(_, _, let partial), .cancelled(let partial): partial
        }
    }
}

/// Polls `condition` for up to `seconds`.
func eventually(within seconds: Int = 5, _ condition: () async throws -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return try await condition()
}

/// Runs `body` with a rig and takes it down afterwards.
func withRig<Result>(
    _ change: (inout Limits) -> Void = { _ in },
    _ body: (Rig) async throws -> Result
) async throws -> Result {
    let rig = try Rig(change)
    do {
        let result = try await body(rig)
        try await rig.close()
        return result
    } catch {
        try await rig.close()
        throw error
    }
}
