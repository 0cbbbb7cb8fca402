import Archive
import Crypto
import Domain
import FoundationEssentials
import Glibc
import Runtime

/// A workspace as snapshots: what a worker left in it becomes a link of the chain, and the chain becomes a workspace.
/// Everything here blocks.
struct DirectoryArchive: Sendable {
    private let root: String
    private let name: String
    private let path: String
    private let selection: TreeSelection
    private let bytes: Int
    private let limits: AgentLimits

    /// Nil when the agent keeps its state otherwise.
    init?(_ configuration: AgentConfiguration, _ workspace: Workspace, root: String) {
        let policy = configuration.snapshots
        guard configuration.storeMode == .snapshot, policy.kind == .directory else { return nil }
        self.root = root
        self.name = workspace.name(below: root)
        self.path = workspace.path
        self.selection = TreeSelection(
            tops: ["home", "work"],
            always: [AgentSession.file],
            include: policy.include,
            exclude: policy.exclude + Self.rewritten(configuration.files)
        )
        self.limits = configuration.limits
        self.bytes = configuration.limits.snapshotBytes
    }

    /// What is written before every start need not be kept, and may be a key. A name with a wildcard in it is kept.
    private static func rewritten(_ files: [String: AgentFile]) -> [String] {
        files.filter { $0.value.owner == .gateway && !$0.key.contains { "*?[".contains($0) } }.map(\.key).sorted()
    }

    private func limits(_ isStopped: @escaping @Sendable () -> Bool) -> TreeLimits {
        TreeLimits(bytes: self.limits.workspaceBytes, entries: self.limits.workspaceEntries, isStopped: isStopped)
    }

    private func openRoot() throws(SystemError) -> Int32 {
        do {
            try FileManager.default.createDirectory(atPath: self.root, withIntermediateDirectories: true)
        } catch {
            // Opening it says what is wrong in the system's own words.
        }
        return try SystemError.check("open \(self.root)", open(self.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    }

    // MARK: From the chain

    /// Makes the workspace exactly what `links` say, whatever is there now, and returns what is in it. When `remembered`
    /// is what the newest link left here, and nothing has been touched since, all of it stays.
    func restore(
        _ links: [Snapshot],
        remembered: SettledTree?,
        isStopped: @escaping @Sendable () -> Bool
    ) throws -> SettledTree {
        let base = try self.openRoot()
        defer { close(base) }
        if let last = links.last, let remembered, remembered.isState(of: last, self.selection),
            // Whatever keeps us from looking, a restored workspace does not have.
            let tree = try? self.untouched(base, remembered.tree, isStopped)
        {
            return SettledTree(tree, self.selection, after: last)
        }
        let (stage, old) = (".new-\(self.name)", ".old-\(self.name)")
        try Directories.remove(stage, in: base)
        let own = try Directories.make(stage, in: base)
        defer { close(own) }
        var restore = TreeRestore(root: own, selection: self.selection, limits: self.limits(isStopped))
        for (index, link) in links.enumerated() { try restore.apply(link.body, isFirst: index == 0) }
        try restore.finish()
        for part in ["home", "work", "tmp"] { close(try Directories.make(part, in: own)) }
        let tree = try FileTree.scan(own, selection: self.selection, limits: self.limits(isStopped))
        try Directories.remove(old, in: base)
        if renameat(base, self.name, base, old) != 0 {
            let error = SystemError.last("rename")
            guard error.number == ENOENT else { throw error }
        }
        try SystemError.check("rename", renameat(base, stage, base, self.name))
        try Directories.remove(old, in: base)
        return SettledTree(tree, self.selection, after: links.last)
    }

    /// The tree as it is now, when that is what is remembered; nil otherwise.
    private func untouched(
        _ base: Int32,
        _ remembered: FileTree,
        _ isStopped: @escaping @Sendable () -> Bool
    ) throws -> FileTree? {
        // Not there, or not a directory: to be restored.
        guard let own = try? Directories.open(self.name, in: base) else { return nil }
        defer { close(own) }
        let limits = self.limits(isStopped)
        let tree = try FileTree.scan(own, selection: self.selection, limits: limits, previous: remembered)
        guard TreeArchive.isSame(remembered, tree) else { return nil }
        try Directories.remove("tmp", in: own)
        for part in ["home", "work", "tmp"] { close(try Directories.make(part, in: own)) }
        return tree
    }

    // MARK: To the chain

    /// A base, or what has changed since `before`, and what is in the workspace now. `known` is any earlier look at it,
    /// `watch` what is known of its files besides. A file that changes while it is read is read again, three times in all.
    func archive(
        since before: FileTree?,
        known: FileTree?,
        watch: FileWatch?,
        seq: Int64,
        isStopped: @escaping @Sendable () -> Bool
    ) throws -> (SnapshotUpdate, SettledTree) {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        let own = try SystemError.check("open \(self.path)", open(self.path, flags))
        defer { close(own) }
        let limits = self.limits(isStopped)
        var latest = known
        var attempt = 1
        while true {
            do {
                let tree = try FileTree.scan(
                    own,
                    selection: self.selection,
                    limits: limits,
                    previous: latest,
                    watch: watch
                )
                latest = tree
                let body = try TreeArchive.make(
                    tree,
                    since: before,
                    root: own,
                    maximumBytes: self.bytes,
                    limits: limits,
                    watch: watch
                )
                let update = SnapshotUpdate(kind: before == nil ? .base : .delta, format: .directory, body: body)
                return (update, SettledTree(tree, self.selection, seq: seq, body: body))
            } catch {
                guard error.isPassing, attempt < 3 else { throw error }
                attempt += 1
            }
        }
    }

    /// What an error of either way is to a turn.
    static func failure(_ error: any Error) -> (code: FailureCode, message: String) {
        if case ArchiveError.tooMuch = error { return (.snapshotTooLarge, "the workspace has \(error)") }
        return (.snapshotFailed, "the workspace: \(error)")
    }
}

/// What is in a workspace, and the link of which it is the state.
struct SettledTree: Sendable {
    let tree: FileTree
    private let selection: TreeSelection
    /// 0 when it is the state of no link.
    private let seq: Int64
    private let sha256: [UInt8]
    /// No turn has been given to the worker since.
    var isCurrent = true

    init(_ tree: FileTree, _ selection: TreeSelection, seq: Int64, body: [UInt8]) {
        self.tree = tree
        self.selection = selection
        self.seq = seq
        self.sha256 = Digest.sha256(body)
    }

    init(_ tree: FileTree, _ selection: TreeSelection, after link: Snapshot?) {
        self.init(tree, selection, seq: link?.seq ?? 0, body: link?.body ?? [])
    }

    func isState(of link: Snapshot, _ selection: TreeSelection) -> Bool {
        self.seq == link.seq && self.sha256 == Digest.sha256(link.body) && self.selection == selection
    }
}

/// What the workers that have left this replica had in their workspaces, so that the next one of the same conversation
/// may find it untouched. In memory only: what lies on disk, a worker could have written.
final class RememberedTrees: Sendable {
    private struct State {
        var trees: [String: SettledTree] = [:]
        var order: [String] = []
        var entries = 0
    }

    /// Files, directories and links of all trees together: about 300 bytes each, and 16 for each 8 KiB of a file.
    private let capacity: Int
    private let state = Locked(State())

    init(capacity: Int = 200_000) {
        self.capacity = capacity
    }

    func remember(_ tree: SettledTree, at path: String) {
        self.state.withLock { state in
            guard state.trees.updateValue(tree, forKey: path) == nil else { return }
            state.order.append(path)
            state.entries += Self.size(tree)
            while state.entries > self.capacity, let oldest = state.order.first { Self.forget(oldest, &state) }
        }
    }

    /// Gives the tree away: whoever gets it is about to change it.
    func take(_ path: String) -> SettledTree? {
        self.state.withLock { Self.forget(path, &$0) }
    }

    @discardableResult
    private static func forget(_ path: String, _ state: inout State) -> SettledTree? {
        guard let tree = state.trees.removeValue(forKey: path) else { return nil }
        state.order.removeAll { $0 == path }
        state.entries -= Self.size(tree)
        return tree
    }

    private static func size(_ tree: SettledTree) -> Int { tree.tree.entries + tree.tree.bytes >> 17 }
}
