import Domain
import Glibc

/// The whole environment of a worker: nothing is inherited but, without isolation, the search path.
package enum WorkerEnvironment {
    /// Where programs are looked for under every isolation profile.
    static let systemPath = "/usr/local/bin:/usr/bin:/bin"

    /// Names with this prefix are the gateway's: its own settings never reach a worker, and an agent cannot fake what
    /// the gateway says.
    package static let reserved = "TURNPIKE_"

    /// In the environment of every process of a worker, whatever they make of HOME: by it they are found when nothing else
    /// leads to them.
    static let workspace = "TURNPIKE_WORKSPACE"

    /// Name and value of every variable. `path` is the gateway's own search path; what makes the worker act as its account
    /// replaces what the agent says.
    static func variables(
        configuration: AgentConfiguration,
        workspace: Workspace,
        path: String?,
        account: [String: String] = [:],
        adding context: [String: String] = [:]
    ) -> [String: String] {
        var variables = [
            "PATH": Self.searchPath(configuration.isolation, path: path),
            "LANG": "C.UTF-8",
            "HOME": workspace.home,
            "TMPDIR": workspace.temporary,
            Self.workspace: workspace.path,
        ]
        for own in [configuration.environment, account] {
            for (name, value) in own where !name.hasPrefix(Self.reserved) { variables[name] = value }
        }
        for (name, value) in context { variables[name] = value }
        return variables
    }

    private static func searchPath(_ isolation: Isolation, path: String?) -> String {
        guard isolation == .none, let path, !path.isEmpty else { return Self.systemPath }
        return "\(Self.systemPath):\(path)"
    }

    /// The file that `program` names: a path as it is, made absolute; a bare name looked up in `path`.
    static func resolve(_ program: String, path: String) throws(WorkerError) -> String {
        guard !program.utf8.contains(UInt8(ascii: "/")) else {
            let absolute = program.hasPrefix("/") ? program : "\(try Self.currentDirectory())/\(program)"
            guard Self.isExecutable(absolute) else { throw Self.missing(program, in: nil) }
            return absolute
        }
        for directory in path.split(separator: ":") where directory.hasPrefix("/") {
            let candidate = "\(directory)/\(program)"
            if Self.isExecutable(candidate) { return candidate }
        }
        throw Self.missing(program, in: path)
    }

    private static func missing(_ program: String, in path: String?) -> WorkerError {
        let place = path.map { " in \($0)" } ?? ""
        return WorkerError(code: .workerStartFailed, message: "there is no executable program \(program)\(place)")
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    private static func currentDirectory() throws(WorkerError) -> String {
        guard let path = getcwd(nil, 0) else {
            throw WorkerError(code: .workerStartFailed, message: "the gateway's working directory is gone")
        }
        defer { free(path) }
        return String(cString: path)
    }
}
