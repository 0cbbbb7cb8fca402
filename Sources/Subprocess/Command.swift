import Glibc

/// What to run and under which conditions. Nothing is inherited that is not said here.
package struct Command: Sendable {
    /// How standard output is cut into pieces.
    package enum OutputMode: Hashable, Sendable {
        /// One piece per line, without its newline; a line over the bound is an error.
        case lines(maximumBytes: Int)
        /// Pieces as they arrive.
        case bytes
    }

    /// An absolute path, a path relative to `directory`, or a bare name that is searched in the environment's `PATH`.
    package var executable: String
    /// The arguments after the program's own name.
    package var arguments: [String]
    /// The whole environment of the program.
    package var environment: [String: String]
    /// The directory it starts in.
    package var directory: String
    /// What it may use.
    package var limits: ResourceLimits
    /// Whether set-uid programs below it stay without effect.
    package var noNewPrivileges: Bool
    /// Namespaces of its own; nil for the host's.
    package var sandbox: Sandbox?
    /// Where to make a control group for it, which then keeps `limits.processes`, and counts its own tree only; see
    /// `ControlGroups`. Nil for none.
    package var controlGroups: String?
    /// The user and group to run as; nil keeps ours. Needs privileges.
    package var user: (uid: UInt32, gid: UInt32)?
    /// How its output is cut into pieces.
    package var output: OutputMode

    package init(
        executable: String,
        arguments: [String] = [],
        environment: [String: String] = [:],
        directory: String = "/",
        limits: ResourceLimits = ResourceLimits(),
        noNewPrivileges: Bool = true,
        sandbox: Sandbox? = nil,
        controlGroups: String? = nil,
        user: (uid: UInt32, gid: UInt32)? = nil,
        output: OutputMode = .lines(maximumBytes: 1 << 20)
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.limits = limits
        self.noNewPrivileges = noNewPrivileges
        self.sandbox = sandbox
        self.controlGroups = controlGroups
        self.user = user
        self.output = output
    }
}

/// Upper bounds for one process and, each on its own, for its descendants (setrlimit(2)). A bound above what this process
/// may grant is held at that. nil leaves a limit as it is.
package struct ResourceLimits: Hashable, Sendable {
    /// Open descriptors.
    package var openFiles: Int?
    /// Processes and threads: of the same user, counted over the whole machine, unless there is a control group.
    package var processes: Int?
    /// Bytes of address space.
    package var addressSpaceBytes: Int?
    /// Bytes of the largest file it may write.
    package var fileSizeBytes: Int?
    /// Seconds of processor time.
    package var cpuSeconds: Int?
    /// Bytes of a core dump.
    package var coreBytes: Int?

    package init(
        openFiles: Int? = nil,
        processes: Int? = nil,
        addressSpaceBytes: Int? = nil,
        fileSizeBytes: Int? = nil,
        cpuSeconds: Int? = nil,
        coreBytes: Int? = 0
    ) {
        self.openFiles = openFiles
        self.processes = processes
        self.addressSpaceBytes = addressSpaceBytes
        self.fileSizeBytes = fileSizeBytes
        self.cpuSeconds = cpuSeconds
        self.coreBytes = coreBytes
    }
}

extension Command {
    /// The path of the program. Throws before anything is spawned when the command cannot work.
    func resolvedExecutable() throws(SubprocessError) -> String {
        try self.validate()
        let candidates = self.candidates()
        if let found = candidates.first(where: { Self.isExecutable($0) }) { return found }
        let message =
            if candidates.contains(where: { access($0, F_OK) == 0 }) {
                "\(self.executable) is not an executable file"
            } else if self.executable.contains("/") {
                "\(self.executable) does not exist"
            } else {
                "\(self.executable) was not found in PATH (\(self.environment["PATH"] ?? "not set"))"
            }
        throw SubprocessError(.executableMissing, message)
    }

    private func candidates() -> [String] {
        if self.executable.hasPrefix("/") { return [self.executable] }
        if self.executable.contains("/") { return ["\(self.directory)/\(self.executable)"] }
        let folders = (self.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/\(self.executable)" }
    }

    private func validate() throws(SubprocessError) {
        func refuse(_ message: String) -> SubprocessError { SubprocessError(.invalidCommand, message) }
        guard !self.executable.isEmpty else { throw refuse("the command names no program") }
        guard self.directory.hasPrefix("/") else { throw refuse("the directory \(self.directory) is not absolute") }
        let texts = [self.executable, self.directory] + self.arguments + Array(self.environment.values)
        guard !texts.contains(where: { $0.utf8.contains(0) }) else { throw refuse("the command contains a NUL byte") }
        for name in self.environment.keys where name.isEmpty || name.utf8.contains(0) || name.contains("=") {
            throw refuse("\"\(name)\" cannot be the name of an environment variable")
        }
        let bounds = [
            self.limits.openFiles, self.limits.processes, self.limits.addressSpaceBytes, self.limits.fileSizeBytes,
            self.limits.cpuSeconds, self.limits.coreBytes,
        ]
        guard !bounds.contains(where: { ($0 ?? 0) < 0 }) else { throw refuse("a resource limit is negative") }
        if case .lines(let maximum) = self.output, maximum < 1 { throw refuse("a line needs at least one byte") }
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        return access(path, X_OK) == 0
    }
}
