import Archive
import Domain
import FoundationEssentials
import Glibc
import Runtime

/// The directories that belong to one worker: its home, its working directory and its temporary files, mode 0700.
///
/// A conversation's workspace has the same absolute path on every replica with the same root, because agents write
/// absolute paths into their own files. A direct turn gets one that goes with its worker; so does a spare worker, unless a
/// conversation gets both.
struct Workspace: Sendable, Hashable {
    let path: String

    /// HOME of the worker.
    var home: String { "\(self.path)/home" }
    /// The working directory of the worker.
    var work: String { "\(self.path)/work" }
    /// TMPDIR of the worker.
    var temporary: String { "\(self.path)/tmp" }

    /// The workspace of what `order` describes, below `root`; nothing is created yet.
    init(root: String, order: WorkerOrder) {
        guard let org = order.org, let conversation = order.conversation else {
            self.path = "\(root)/direct-\(order.deployment)"
            return
        }
        if let workspace = order.workspace {
            self.path = "\(root)/\(workspace)"
            return
        }
        let key = ConversationKey(org: org, agent: order.agent, conversation: conversation)
        self.path = "\(root)/\(order.number)-\(Self.digest(key))"
    }

    /// The workspace of a spare worker, and of the conversation that got it.
    init(root: String, spare: WorkspaceID) {
        self.path = "\(root)/\(spare)"
    }

    /// 16 hexadecimal digits (FNV-1a, 64 bit) of the length-prefixed names. The number alone tells the conversations
    /// of one database apart; this keeps a new database from finding the files of an old one. Short, because sockets
    /// below the workspace have 107 bytes for their whole path.
    private static func digest(_ key: ConversationKey) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for name in [key.org.text, key.agent.text, key.conversation.text] {
            for byte in "\(name.utf8.count):\(name)".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Creates what is missing, through descriptors, so that no symbolic link below the root is ever followed: a
    /// worker could have put one there.
    func create(below root: String) throws(SystemError) {
        do {
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        } catch {
            // Opening it says what is wrong in the system's own words.
        }
        let own = try self.descriptor(below: root)
        defer { close(own) }
        for part in ["home", "work", "tmp"] { close(try Directories.make(part, in: own)) }
    }

    /// Opens the workspace itself, which is made unless it is there. The caller closes it.
    func descriptor(below root: String) throws(SystemError) -> Int32 {
        let base = try SystemError.check("open \(root)", open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        defer { close(base) }
        return try Directories.make(self.name(below: root), in: base)
    }

    /// Its name in the root.
    func name(below root: String) -> String { String(self.path.dropFirst(root.utf8.count + 1)) }

    /// Removes it with all that is in it.
    func remove(below root: String) throws(SystemError) {
        let base = try SystemError.check("open \(root)", open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        defer { close(base) }
        try Directories.remove(self.name(below: root), in: base)
    }
}
