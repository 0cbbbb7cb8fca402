import Archive
import Domain
import Runtime
import Subprocess

// A worker whose state is its workspace.

extension Worker {
    /// Makes the workspace what the chain says, before anything runs in it.
    func restore(_ directory: DirectoryArchive, _ links: [Snapshot]) async throws(WorkerError) {
        if let link = links.first(where: { $0.format != .directory }) {
            let message =
                "the snapshot of turn \(link.seq) is a \(link.format.rawValue), but the agent keeps directories"
            throw WorkerError(code: .snapshotFailed, message: message)
        }
        let remembered = self.tools.trees.take(self.workspace.path)
        let begin = ContinuousClock.now
        do {
            let tree = try await self.tools.archives.run { [state = self.state] in
                try directory.restore(links, remembered: remembered) {
                    state.withLock { $0.lifecycle.state != .starting }
                }
            }
            self.state.withLock { $0.tree = tree }
        } catch {
            let failure = DirectoryArchive.failure(error)
            throw WorkerError(code: failure.code, message: failure.message, cause: error)
        }
        self.measure("restore", since: begin)
    }

    /// Makes a snapshot of what the turn left, and ends the turn with it. The worker's processes stand still meanwhile, so
    /// that files which belong together, as those of a database, are taken as of one moment.
    func archive(after turn: ArmedTurn, wantsBase: Bool) async {
        guard let directory = self.directory else { return }
        // Beside what the worker wrote, so that it is in the same snapshot.
        await self.keepSession()
        let (child, before) = self.state.withLock { ($0.child, $0.tree?.tree) }
        let watch = self.watch(before)
        let begin = ContinuousClock.now
        let result: Result<(SnapshotUpdate, SettledTree), any Error>
        do {
            let made = try await self.tools.archives.run { [state = self.state] in
                state.withLock { $0.isPaused = true }
                let paused = child?.pause()
                defer {
                    paused?.resume()
                    state.withLock { state in
                        state.isPaused = false
                        if state.isFrozen { child?.freeze() }
                    }
                }
                return try directory.archive(
                    since: wantsBase ? nil : before,
                    known: before,
                    watch: watch,
                    seq: turn.seq
                ) {
                    state.withLock { $0.answer == nil }
                }
            }
            result = .success(made)
        } catch {
            result = .failure(error)
        }
        self.measure("archive", since: begin)
        self.advance { state, effects in
            // It may have ended otherwise in the meantime: killed, or out of time.
            guard let turn = state.turn, var stop = state.answer else { return }
            switch result {
            case .success(let (update, tree)):
                state.tree = tree
                stop.snapshot = .update(update)
                state.finish(turn.ending(stop), &effects)
            case .failure(let error):
                let failure = DirectoryArchive.failure(error)
                state.finish(turn.failure(failure.code, failure.message, isSure: false), &effects)
            }
        }
    }

    /// A watch on the workspace's files once they are so many that asking each takes long.
    private func watch(_ tree: FileTree?) -> FileWatch? {
        guard let tree, tree.entries >= Self.manyFiles else { return nil }
        return self.state.withLock { state in
            if state.watch == nil { state.watch = FileWatch() }
            return state.watch
        }
    }

    private static let manyFiles = 200

    /// Leaves word of what is in the workspace, if that is what the newest snapshot says as far as anybody knows.
    func rememberTree() {
        let tree = self.state.withLock { state in
            // What happens to the files while no worker has them is found by asking.
            state.watch = nil
            return state.tree
        }
        guard let tree, tree.isCurrent else { return }
        self.tools.trees.remember(tree, at: self.workspace.path)
    }

    private func measure(_ what: String, since begin: ContinuousClock.Instant) {
        self.tools.metrics.observe(
            "turnpike_workspace_seconds",
            "Time to restore a workspace, and to archive what a turn left.",
            labels: ["step": what],
            ContinuousClock.now - begin
        )
    }
}
