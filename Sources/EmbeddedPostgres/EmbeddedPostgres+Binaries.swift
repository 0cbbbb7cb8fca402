internal import Foundation

extension EmbeddedPostgres {
    /// The oldest major version that is used.
    static let oldestVersion = 14

    /// The folder with `postgres` and `initdb`: the one that `TURNPIKE_POSTGRES_BIN` names, else the newest of Debian's
    /// (14 or later), else the first in `PATH`.
    ///
    /// A candidate counts only with real programs of both names side by side, since language environments like to put
    /// scripts called `postgres` first in `PATH`. Throws `missingProgram`.
    package static func findBinaries(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(EmbeddedPostgresError) -> String {
        try self.findBinaries(environment: environment, debianRoot: "/usr/lib/postgresql")
    }

    static func findBinaries(
        environment: [String: String],
        debianRoot: String
    ) throws(EmbeddedPostgresError) -> String {
        if let named = environment["TURNPIKE_POSTGRES_BIN"], !named.isEmpty {
            guard self.holdsServer(named) else {
                throw EmbeddedPostgresError(
                    .missingProgram,
                    "TURNPIKE_POSTGRES_BIN names \(named), but that folder does not hold both postgres and initdb"
                )
            }
            return AbsolutePath.of(named)
        }
        let debian = self.debianVersions(in: debianRoot).map { "\(debianRoot)/\($0)/bin" }
        let path = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
        guard let found = (debian + path).first(where: self.holdsServer) else {
            throw EmbeddedPostgresError(
                .missingProgram,
                """
                no PostgreSQL server programs on this machine: install them (Debian and Ubuntu: \
                apt-get install postgresql) or name their folder in TURNPIKE_POSTGRES_BIN
                """
            )
        }
        return AbsolutePath.of(found)
    }

    /// The first program called `name` in `PATH` or in the usual folders; throws `missingProgram` naming `package`.
    static func findProgram(
        _ name: String,
        package: String,
        environment: [String: String]
    ) throws(EmbeddedPostgresError) -> String {
        let path = (environment["PATH"] ?? "").split(separator: ":").map(String.init) + ["/usr/bin", "/bin"]
        guard let folder = path.first(where: { access("\($0)/\(name)", X_OK) == 0 }) else {
            throw EmbeddedPostgresError(
                .missingProgram,
                "\(name) is missing: install it (Debian and Ubuntu: apt-get install \(package))"
            )
        }
        return "\(folder)/\(name)"
    }

    private static func debianVersions(in root: String) -> [Int] {
        do {
            let versions = try FileManager.default.contentsOfDirectory(atPath: root).compactMap { Int($0) }
            return versions.filter { $0 >= self.oldestVersion }.sorted(by: >)
        } catch {
            // Not a Debian, or nothing installed.
            return []
        }
    }

    private static func holdsServer(_ folder: String) -> Bool {
        ["postgres", "initdb"].allSatisfy { self.isProgram("\(folder)/\($0)") }
    }

    /// Whether the file is executable and an ELF image, not a script.
    private static func isProgram(_ path: String) -> Bool {
        guard access(path, X_OK) == 0, let file = FileHandle(forReadingAtPath: path) else { return false }
        do {
            let magic = try file.read(upToCount: 4)
            try file.close()
            return magic.map(Array.init) == [0x7F, 0x45, 0x4C, 0x46]
        } catch {
            return false
        }
    }
}
