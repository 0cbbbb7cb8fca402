internal import Foundation

/// The unprivileged account that runs the server when we are root.
struct ServerAccount: Equatable, Sendable {
    let name: String
    let user: UInt32
    let group: UInt32

    /// Whom to run the server as: nil for ourselves. Root must name somebody else: `postgres`, which Debian's packages
    /// make, else `nobody`. Throws `noAccount` when root finds neither.
    static func choose(
        effectiveUser: UInt32 = geteuid(),
        lookUp: (String) -> ServerAccount? = ServerAccount.lookUp
    ) throws(EmbeddedPostgresError) -> ServerAccount? {
        guard effectiveUser == 0 else { return nil }
        guard let account = lookUp("postgres") ?? lookUp("nobody") else {
            throw EmbeddedPostgresError(
                .noAccount,
                "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as"
            )
        }
        return account
    }

    /// Whether a folder with this owner, group and mode lets the account through.
    func mayEnter(owner: UInt32, group: UInt32, mode: UInt32) -> Bool {
        if owner == self.user { return mode & 0o100 != 0 }
        if group == self.group { return mode & 0o010 != 0 }
        return mode & 0o001 != 0
    }

    private static func lookUp(_ name: String) -> ServerAccount? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16384)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil, entry.pw_uid != 0 else {
            return nil
        }
        return ServerAccount(name: name, user: entry.pw_uid, group: entry.pw_gid)
    }
}
