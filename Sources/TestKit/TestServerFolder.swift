internal import EmbeddedPostgres
internal import Foundation
internal import Runtime

/// Where the test server lives, and how it goes when the process does.
enum TestServerFolder {
    private static let prefix = "/tmp/turnpike-tests-"
    private static let leftovers = Locked<[@Sendable () -> Void]>([])

    /// `pg_stat_statements` where it is installed: some tests count statements.
    static let preloads: String = {
        do {
            let binaries = try EmbeddedPostgres.findBinaries()
            let library = URL(fileURLWithPath: binaries).deletingLastPathComponent()
                .appendingPathComponent("lib/pg_stat_statements.so").path
            return FileManager.default.fileExists(atPath: library) ? "pg_stat_statements" : ""
        } catch {
            // Starting the server says so.
            return ""
        }
    }()

    /// A folder named after this process; those of processes that crashed are removed first.
    static func make() throws -> String {
        for name in try FileManager.default.contentsOfDirectory(atPath: "/tmp") {
            let path = "/tmp/\(name)"
            guard path.hasPrefix(self.prefix), let owner = pid_t(path.dropFirst(self.prefix.count)) else { continue }
            if kill(owner, 0) != 0 && errno == ESRCH { self.remove(path) }
        }
        return "\(self.prefix)\(getpid())"
    }

    /// Ends the server and removes both its folders when the process exits in order. When it is killed, the kernel ends
    /// the server, and the next test process removes the folder.
    static func removeAtExit(_ folder: String, _ server: Running) {
        self.leftovers.withLock { leftovers in
            leftovers.append {
                server.abandon()
                self.remove(folder)
            }
        }
        atexit { TestServerFolder.clear() }
    }

    private static func clear() {
        let leftovers = self.leftovers.withLock { leftovers in
            defer { leftovers = [] }
            return leftovers
        }
        for leftover in leftovers { leftover() }
    }

    private static func remove(_ path: String) {
        do {
            try EmbeddedPostgres.erase(path)
        } catch {
            // Another user's, who will remove it.
        }
    }
}
