import Glibc

/// Namespaces of its own for a program, by bubblewrap (bwrap(1)): processes, mounts, IPC, host name, users, and where it is
/// to have no network, that too. It sees the system's programs and libraries read-only, what it is shown besides, and one
/// directory that it may write to, all at the paths that they have outside.
///
/// The launcher starts bubblewrap, which starts the launcher's inner half (`-x`) in the sandbox, which becomes the program:
/// so limits, signals and words of refusal are the same as without, and killing the tree kills the sandbox. A program
/// that dies by a signal is reported as a shell would: exit status 128 and the signal's number.
package struct Sandbox: Sendable {
    /// The one directory that it may write to.
    package var writable: String
    /// Within it: what the program finds as /tmp.
    package var temporary: String
    /// What it may read besides the system.
    package var readOnly: [String]
    /// Whether it shares the host's network; without, it has a loopback interface and nothing else.
    package var sharesNetwork: Bool

    package init(writable: String, temporary: String, readOnly: [String] = [], sharesNetwork: Bool = true) {
        self.writable = writable
        self.temporary = temporary
        self.readOnly = readOnly
        self.sharesNetwork = sharesNetwork
    }

    /// Where the launcher is found within.
    private static let innerLauncher = "/run/turnpike-launcher"
    /// Where bubblewrap is looked for.
    private static let places = ["/usr/local/bin/bwrap", "/usr/bin/bwrap", "/bin/bwrap"]
    /// All of /etc that is shown: names and certificates, no secret.
    private static let etc = [
        "alternatives", "ca-certificates", "crypto-policies", "group", "hosts", "ld.so.cache", "ld.so.conf",
        "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "pki/tls/certs", "protocols",
        "resolv.conf",
        "services", "ssl/certs", "ssl/openssl.cnf",
    ]
    /// All of /proc by which the kernel could be changed.
    private static let kernel = ["acpi", "bus", "fs", "irq", "scsi", "sys", "sysrq-trigger"]
    /// Memory that POSIX shared memory may take, in bytes.
    private static let sharedMemory = 64 << 20

    /// Bubblewrap's own, beside the program: one outside, and the first within.
    static let ownProcesses = 2

    static func find() throws(SubprocessError) -> String {
        if let found = self.places.first(where: { access($0, X_OK) == 0 }) { return found }
        throw SubprocessError(.executableMissing, "bubblewrap (bwrap) is not installed")
    }

    /// The command line from bubblewrap on, up to and without the launcher's inner half's own arguments.
    func arguments(launcher: String) throws(SubprocessError) -> [String] {
        var arguments = [
            try Self.find(), "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
            "--unshare-cgroup-try",
            "--hostname", "sandbox", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr",
        ]
        if !self.sharesNetwork { arguments.append("--unshare-net") }
        for folder in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] { arguments += Self.show(folder) }
        for name in Self.etc { arguments += ["--ro-bind-try", "/etc/\(name)", "/etc/\(name)"] }
        arguments += [
            "--proc", "/proc", "--dev", "/dev", "--size", String(Self.sharedMemory), "--tmpfs", "/dev/shm",
            "--ro-bind", launcher, Self.innerLauncher, "--bind", self.temporary, "/tmp",
        ]
        // Of root's these could be written to by a process without any privilege that root owns.
        for name in Self.kernel { arguments += ["--ro-bind-try", "/proc/\(name)", "/proc/\(name)"] }
        for path in self.readOnly { arguments += ["--ro-bind", path, path] }
        arguments += ["--bind", self.writable, self.writable, "--remount-ro", "/dev", "--remount-ro", "/"]
        return arguments + ["--", Self.innerLauncher]
    }

    /// A folder of the system that may be a link into /usr.
    private static func show(_ folder: String) -> [String] {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink(folder, &buffer, buffer.count)
        guard length > 0 else { return ["--ro-bind-try", folder, folder] }
        let target = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return ["--symlink", target, folder]
    }
}
