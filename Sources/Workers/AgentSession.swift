import Domain
import Glibc
import Runtime

/// The agent's own session in which it serves a conversation, and the term since which it does: kept in a file at the
/// top of the workspace, so that a later worker can open it again, and so that it goes where the workspace goes.
struct AgentSession: Sendable, Hashable {
    /// What the agent calls it.
    let id: String
    /// The term in which it was opened last: it has seen every turn of that term, and none of a later one.
    let epoch: Int64

    /// The file's name.
    static let file = "session.json"
    /// The longest file that is read. The worker can write there too, so it is read as anybody's text.
    static let maximumBytes = 4_096
    private static let maximumID = 1_024

    /// Nil for an id that is not worth keeping.
    init?(id: String, epoch: Int64) {
        guard (1...Self.maximumID).contains(id.utf8.count) else { return nil }
        self.id = id
        self.epoch = epoch
    }

    /// Nil for anything but what `text` gives.
    init?(_ text: [UInt8]) {
        do {
            let value = try JSONReader.read(text)
            guard value["version"] == 1, let id = value["session"]?.text, let epoch = value["epoch"]?.integer else {
                return nil
            }
            self.init(id: id, epoch: epoch)
        } catch {
            return nil
        }
    }

    /// The file's text.
    var text: [UInt8] {
        JSONWriter.line(["version": 1, "session": .string(self.id), "epoch": .integer(self.epoch)])
    }
}

// All of it through descriptors, so that no link that a worker put there is followed.
extension Workspace {
    /// The agent's session that serves the conversation; nil without one that can be read.
    func agentSession(below root: String) throws(SystemError) -> AgentSession? {
        let own = try self.descriptor(below: root)
        defer { close(own) }
        let file = openat(own, AgentSession.file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var text = [UInt8](repeating: 0, count: AgentSession.maximumBytes + 1)
        let count = read(file, &text, text.count)
        guard (0...AgentSession.maximumBytes).contains(count) else { return nil }
        return AgentSession(Array(text[..<count]))
    }

    /// Keeps `session`, or forgets the one that is kept. A crash leaves the old file or the new one.
    func keep(_ session: AgentSession?, below root: String) throws(SystemError) {
        let own = try self.descriptor(below: root)
        defer { close(own) }
        guard let session else {
            guard unlinkat(own, AgentSession.file, 0) != 0 else { return }
            let error = SystemError.last("unlink \(AgentSession.file)")
            guard error.number != ENOENT else { return }
            throw error
        }
        let name = "\(AgentSession.file).new"
        _ = unlinkat(own, name, 0)
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let file = try SystemError.check("create \(name)", openat(own, name, flags, 0o600))
        defer { close(file) }
        let text = session.text
        guard write(file, text, text.count) == text.count else { throw SystemError.last("write \(name)") }
        _ = try SystemError.check("rename \(name)", renameat(own, name, own, AgentSession.file))
    }
}
