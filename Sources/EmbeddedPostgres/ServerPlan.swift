internal import Foundation

/// Everything about a server that is known before anything is done: paths, the account and the command lines.
struct ServerPlan: Sendable {
    let root: String
    let mode: EmbeddedPostgres.Mode
    let settings: [(name: String, value: String)]
    let account: ServerAccount?
    let binaries: String
    let setpriv: String
    let socketDirectory: String

    /// Linux allows 107 bytes and a NUL for the path of a socket (`sun_path` in unix(7)).
    static let longestSocketPath = 107

    init(
        dataDirectory: String,
        mode: EmbeddedPostgres.Mode,
        settings: [(name: String, value: String)],
        environment: [String: String]
    ) throws(EmbeddedPostgresError) {
        self.root = AbsolutePath.of(dataDirectory)
        self.mode = mode
        self.settings = settings
        self.account = try ServerAccount.choose()
        self.binaries = try EmbeddedPostgres.findBinaries(environment: environment)
        self.setpriv = try EmbeddedPostgres.findProgram("setpriv", package: "util-linux", environment: environment)
        let runtime = self.account == nil ? environment["XDG_RUNTIME_DIR"] : nil
        self.socketDirectory = Self.socketDirectory(root: self.root, user: geteuid(), runtimeDirectory: runtime)
    }

    var cluster: String { "\(self.root)/data" }
    var unfinishedCluster: String { "\(self.root)/data.new" }
    var logFile: String { "\(self.root)/server.log" }
    var lockFile: String { "\(self.root)/.lock" }
    var modeFile: String { "\(self.root)/.mode" }
    var conninfo: String { Self.conninfo(socketDirectory: self.socketDirectory, database: "postgres") }

    /// The port is part of the socket's name, so it is said on both sides, whatever `PGPORT` is.
    static func conninfo(socketDirectory: String, database: String) -> String {
        "host=\(socketDirectory) port=5432 user=postgres dbname=\(database)"
    }

    /// A short path that depends only on the data folder, so that a later process finds the same server: in the
    /// user's runtime folder if that is short enough, else in `/tmp`.
    static func socketDirectory(root: String, user: UInt32, runtimeDirectory: String?) -> String {
        let name = AbsolutePath.hash(root)
        if let runtimeDirectory, access(runtimeDirectory, W_OK) == 0 {
            let path = "\(runtimeDirectory)/turnpike-\(name)"
            if path.utf8.count + "/.s.PGSQL.5432.lock".utf8.count <= self.longestSocketPath { return path }
        }
        return "/tmp/turnpike-\(user)-\(name)"
    }

    /// What gives up root, where we are root, and asks the kernel to interrupt the child when our thread ends. `setpriv`
    /// sets the signal after it has changed the user, which would have cleared it.
    var prefix: [String] {
        let drop = self.account.map {
            ["--reuid", "\($0.user)", "--regid", "\($0.group)", "--clear-groups", "--inh-caps=-all"]
        }
        return [self.setpriv] + (drop ?? []) + ["--pdeathsig", "INT", "--"]
    }

    /// Makes the cluster beside its final place. Authentication is trust because only the folder's owner can reach the
    /// socket and there is no other way in. Only what may be lost is not flushed.
    var initCommand: [String] {
        self.prefix + [
            "\(self.binaries)/initdb", "--pgdata", self.unfinishedCluster, "--username=postgres", "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8",
        ] + (self.mode == .throwaway ? ["--no-sync"] : [])
    }

    /// Starts the server in the foreground.
    var serverCommand: [String] {
        var settings: [(name: String, value: String)] = [
            ("listen_addresses", ""), ("unix_socket_permissions", "0700"), ("max_connections", "200"),
            ("max_locks_per_transaction", "512"),
        ]
        if self.mode == .throwaway {
            settings += [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")]
        }
        settings += self.settings
        return self.prefix
            + ["\(self.binaries)/postgres", "-D", self.cluster, "-k", self.socketDirectory, "-p", "5432"]
            + settings.flatMap { ["-c", "\($0.name)=\($0.value)"] }
    }

    /// A small environment of our own: nothing of the caller's, `PG…` least of all, changes what the server does.
    var environment: [String] {
        ["LC_ALL=C.UTF-8", "LANG=C.UTF-8", "PATH=\(self.binaries):/usr/local/bin:/usr/bin:/bin"]
    }
}
