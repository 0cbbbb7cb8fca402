internal import Foundation
import Runtime

/// The files of one server: made, checked and handed to the account that runs it.
struct ServerFolder {
    let plan: ServerPlan

    private static let longestLog: Int64 = 4 << 20

    /// Makes the data folder and the one for the socket, both closed to everyone but the server's user (and root).
    func prepare() throws(EmbeddedPostgresError) {
        if let account = self.plan.account,
            let parent = AbsolutePath.firstClosedParent(of: self.plan.root, to: account)
        {
            throw EmbeddedPostgresError(
                .unusableDirectory,
                """
                PostgreSQL does not run as root, and the user \(account.name) may not enter \(parent): \
                choose a data folder elsewhere, for example under /var/lib
                """
            )
        }
        do {
            let parent = URL(fileURLWithPath: self.plan.root).deletingLastPathComponent().path
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        } catch {
            throw EmbeddedPostgresError(.unusableDirectory, "cannot make \(self.plan.root)", cause: error)
        }
        try self.makePrivate(self.plan.root, failing: .unusableDirectory)
        try self.makePrivate(self.plan.socketDirectory, failing: .unusableSocketDirectory)
    }

    /// Makes a folder of mode 0700 that belongs to the server's user, or accepts one that is there already; refuses a
    /// link or a stranger's folder, which could lead our clients to a stranger's server.
    private func makePrivate(
        _ path: String,
        failing code: EmbeddedPostgresError.Code
    ) throws(EmbeddedPostgresError) {
        let owner = self.plan.account?.user ?? geteuid()
        if mkdir(path, 0o700) != 0 {
            let failure = SystemError.last("mkdir")
            guard failure.number == EEXIST else {
                throw EmbeddedPostgresError(code, "cannot make \(path)", cause: failure)
            }
        }
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw EmbeddedPostgresError(code, "\(path) is not a folder")
        }
        guard status.st_uid == owner || status.st_uid == geteuid() else {
            throw EmbeddedPostgresError(code, "\(path) belongs to another user (uid \(status.st_uid))")
        }
        let group = self.plan.account?.group ?? getegid()
        guard chmod(path, 0o700) == 0, lchown(path, owner, group) == 0 else {
            throw EmbeddedPostgresError(code, "cannot take \(path) over", cause: SystemError.last("chown"))
        }
    }

    /// Refuses to serve someone's data without durability, or a throwaway cluster as if it were durable.
    func checkMode() throws(EmbeddedPostgresError) {
        do {
            guard FileManager.default.fileExists(atPath: self.plan.modeFile) else {
                try self.plan.mode.rawValue.write(toFile: self.plan.modeFile, atomically: true, encoding: .utf8)
                return
            }
            let kept = try String(contentsOfFile: self.plan.modeFile, encoding: .utf8)
            guard kept != self.plan.mode.rawValue else { return }
            throw EmbeddedPostgresError(
                .unusableDirectory,
                "\(self.plan.root) holds a \(kept) cluster and cannot be started as \(self.plan.mode.rawValue)"
            )
        } catch let error as EmbeddedPostgresError {
            throw error
        } catch {
            throw EmbeddedPostgresError(.unusableDirectory, "cannot use \(self.plan.modeFile)", cause: error)
        }
    }

    /// Whether a server says that it runs on this cluster; it may be a file left by one that was killed.
    var isServed: Bool {
        access("\(self.plan.cluster)/postmaster.pid", F_OK) == 0
    }

    var needsCluster: Bool {
        access("\(self.plan.cluster)/PG_VERSION", F_OK) != 0
    }

    /// Removes what an `initdb` that was killed has left.
    func removeUnfinishedCluster() throws(EmbeddedPostgresError) {
        do {
            guard FileManager.default.fileExists(atPath: self.plan.unfinishedCluster) else { return }
            try FileManager.default.removeItem(atPath: self.plan.unfinishedCluster)
        } catch {
            let path = self.plan.unfinishedCluster
            throw EmbeddedPostgresError(.unusableDirectory, "cannot remove \(path)", cause: error)
        }
    }

    /// Moves a complete cluster to its place: it is there either whole or not at all.
    func adoptCluster() throws(EmbeddedPostgresError) {
        guard rename(self.plan.unfinishedCluster, self.plan.cluster) == 0 else {
            let cause = SystemError.last("rename")
            throw EmbeddedPostgresError(.unusableDirectory, "cannot make \(self.plan.cluster)", cause: cause)
        }
    }

    /// Opens the server's log for appending; an old log that has grown long is begun anew.
    func openLog() throws(EmbeddedPostgresError) -> Int32 {
        var status = stat()
        let isLong = stat(self.plan.logFile, &status) == 0 && status.st_size > Self.longestLog
        let flags = O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC | (isLong ? O_TRUNC : 0)
        let descriptor = open(self.plan.logFile, flags, 0o600)
        guard descriptor >= 0 else {
            let cause = SystemError.last("open")
            throw EmbeddedPostgresError(.unusableDirectory, "cannot open \(self.plan.logFile)", cause: cause)
        }
        return descriptor
    }

    /// The last lines of the log, for an error message.
    func logTail() -> String {
        do {
            let text = try String(contentsOfFile: self.plan.logFile, encoding: .utf8)
            let lines = text.split(whereSeparator: \.isNewline).suffix(15)
            return "the end of \(self.plan.logFile):\n" + lines.map { "  \($0)" }.joined(separator: "\n")
        } catch {
            return "there is no log in \(self.plan.logFile)"
        }
    }
}
