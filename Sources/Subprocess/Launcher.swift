import Glibc

/// The program that stands between us and a child: `Sources/launcher/main.c`.
enum Launcher {
    static let name = "turnpike-launcher"

    /// The start of the one line that it writes when it could not start the program.
    static let refusal = Array("\(Self.name): cannot ".utf8)
    /// Its exit codes in that case.
    static let refusalCodes: [ExitStatus] = [.exited(126), .exited(127)]

    /// Beside the running executable, then where TURNPIKE_LAUNCHER says, then in a build directory at or above the
    /// current directory.
    static func find() throws(SubprocessError) -> String {
        let places = [Self.besideExecutable(), Self.fromEnvironment()].compactMap(\.self) + Self.inBuildDirectories()
        if let found = places.first(where: { access($0, X_OK) == 0 }) { return found }
        throw SubprocessError(
            .launcherMissing,
            "\(Self.name) was not found; `make build` puts it beside the executable (looked for "
                + places.joined(separator: ", ") + ")"
        )
    }

    /// The arguments that make it run `command`, whose program is at `path`. `launcher` is its own path.
    static func arguments(
        for command: Command,
        path: String,
        launcher: String
    ) throws(SubprocessError) -> [String] {
        var arguments = ["-p", String(getpid())]
        if let user = command.user {
            arguments += ["-u", String(user.uid), "-g", String(user.gid)]
        }
        if let groups = command.controlGroups, let processes = command.limits.processes {
            let own = command.sandbox == nil ? 0 : Sandbox.ownProcesses
            arguments += ["-c", groups, "-m", String(processes + own)]
        }
        guard let sandbox = command.sandbox else { return arguments + self.program(command, path: path) }
        return try arguments + ["-w", "--"] + sandbox.arguments(launcher: launcher) + ["-x"]
            + self.program(command, path: path)
    }

    /// What both halves take alike, and the program.
    private static func program(_ command: Command, path: String) -> [String] {
        var arguments = ["-d", command.directory]
        if command.noNewPrivileges { arguments.append("-n") }
        let limits = command.limits
        let processes = command.controlGroups == nil ? limits.processes : nil
        let options = [
            ("-N", limits.openFiles), ("-P", processes), ("-A", limits.addressSpaceBytes),
            ("-F", limits.fileSizeBytes), ("-T", limits.cpuSeconds), ("-C", limits.coreBytes),
        ]
        for case (let option, let value?) in options {
            arguments += [option, String(value)]
        }
        return arguments + ["--", path] + command.arguments
    }

    private static func besideExecutable() -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        guard length > 0 else { return nil }
        let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = path.lastIndex(of: "/") else { return nil }
        return path[...slash] + Self.name
    }

    private static func fromEnvironment() -> String? {
        getenv("TURNPIKE_LAUNCHER").map { String(cString: $0) }
    }

    /// Tests may run from an executable of the toolchain, so the package's own build directory is looked at too.
    private static func inBuildDirectories() -> [String] {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard getcwd(&buffer, buffer.count) != nil else { return [] }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        var folders = String(decoding: bytes, as: UTF8.self).split(separator: "/")
        var places: [String] = []
        while !folders.isEmpty {
            places.append("/" + folders.joined(separator: "/") + "/.build/debug/" + Self.name)
            folders.removeLast()
        }
        return places
    }
}
