import Domain
import Foundation
import Glibc
import Runtime
import Subprocess
import TestKit
import Testing

@testable import Workers

extension WorkerSuite {
    /// What a worker can see and reach within each isolation profile, tried from inside by `Tests/Doubles/probe.py`.
    @Suite struct IsolationTests {
        private static let probe = Rig.double.replacing("worker_double.py", with: "probe.py")
        private static let always = ["writes to its home", "writes to its directory", "writes to /tmp"]

        /// What the profiles without namespaces do not keep away, and say so.
        private static let open = [
            "reads another workspace", "writes another workspace", "sees the gateway's folder", "signals the gateway",
            "sees the host's processes", "reaches a socket in the gateway's folder", "reaches an abstract socket",
            "reaches TCP on the host", "writes outside", "reads the gateway's environment",
        ]
        /// What depends on who runs the gateway, without namespaces.
        private static let varies: Set = [
            "opens the gateway's memory", "traces the gateway", "writes to /usr", "writes to /etc", "reads /etc/shadow",
            "reads private keys", "changes the kernel", "presses the system's keys", "writes to /", "has capabilities",
        ]

        /// Runs the probe in a profile; what it managed, and the limits that it found.
        private func probe(
            _ change: (inout AgentConfiguration) -> Void
        ) async throws -> (managed: Set<String>, limits: JSONValue) {
            try await withRig { rig in
                let (folder, other) = ("\(rig.root)/gateway", "\(rig.root)/other")
                for path in [folder, other] {
                    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
                }
                let outside = "\(folder)/file"
                #expect(FileManager.default.createFile(atPath: outside, contents: Data()))
                let name = "turnpike-\(UUID())"
                let listeners = [
                    try Listener(path: "\(folder)/socket"), try Listener(abstract: name), try Listener(port: 0),
                ]
                var configuration = AgentConfiguration(
                    driver: .command,
                    command: [
                        Rig.python, "-I", "-S", Self.probe, String(getpid()), folder, other, String(listeners[2].port),
                        name,
                        outside,
                    ],
                    storeMode: .none
                )
                change(&configuration)
                if configuration.isolation == .sandbox { configuration.readOnlyPaths = [Self.probe] }
                #expect(configuration.problems.isEmpty)
                let outcome = try await rig.once(configuration).outcome
                let reply = try #require(outcome.reply, "\(outcome)")
                let seen = try JSONDecoder().decode([String: JSONValue].self, from: Data(reply.utf8))
                withExtendedLifetime(listeners) {}
                return (Set(seen.filter { $0.value == true }.keys), seen["limits"] ?? .null)
            }
        }

        @Test(
            "without isolation a worker is a process of the gateway's user, with nothing of the gateway's descriptors"
        )
        func none() async throws {
            let found = try await self.probe { $0.isolation = .none }
            #expect(found.managed.subtracting(Self.varies) == Set(Self.always + Self.open + ["may gain privileges"]))
        }

        @Test("with limits it is that within its limits, and gains no privileges")
        func limits() async throws {
            let found = try await self.probe { configuration in
                configuration.isolation = .limits
                configuration.limits.openFiles = 128
                configuration.limits.memoryBytes = 1 << 30
                configuration.limits.fileBytes = 1 << 20
            }
            #expect(found.managed.subtracting(Self.varies) == Set(Self.always + Self.open))
            #expect(found.limits["files"] == 128)
            #expect(found.limits["memory"] == .integer(1 << 30))
            #expect(found.limits["file"] == .integer(1 << 20))
            #expect(found.limits["core"] == 0)
        }

        @Test("in a sandbox it sees and reaches nothing but its workspace and, unless it has none, the network")
        func sandbox() async throws {
            let shared = try await self.probe { configuration in
                configuration.isolation = .sandbox
                configuration.limits.openFiles = 128
                configuration.limits.fileBytes = 1 << 20
            }
            #expect(shared.managed == Set(Self.always + ["reaches an abstract socket", "reaches TCP on the host"]))
            #expect(shared.limits["files"] == 128)
            #expect(shared.limits["file"] == .integer(1 << 20))
            let alone = try await self.probe { configuration in
                configuration.isolation = .sandbox
                configuration.network = .none
            }
            #expect(alone.managed == Set(Self.always))
        }

        @Test("a worker in a sandbox is driven, measured and stopped like any other, at the same paths")
        func driven() async throws {
            try await withRig { rig in
                let configuration = Rig.configuration("boot", "0") {
                    $0.isolation = .sandbox
                    $0.readOnlyPaths = [Rig.double]
                }
                let worker = try await rig.start(configuration)
                let reply = await worker.perform(try Rig.turn()).outcome.reply
                #expect(reply?.contains("\"home\": \"\(worker.workspace.home)\"") == true)
                #expect((worker.resourceUsage()?.residentBytes ?? 0) > 1 << 20)
                let begin = ContinuousClock.now
                Rig.drop(await worker.end())
                #expect(ContinuousClock.now - begin < .seconds(1))
                #expect(rig.pool.placesTaken == 0)
            }
        }

        @Test("a program that the sandbox does not show is named, and so is what the host cannot give")
        func refusals() async throws {
            try await withRig { rig in
                let hidden = Rig.configuration("echo") {
                    $0.isolation = .sandbox
                    $0.command[0] = "\(rig.root)/program"
                }
                try FileManager.default.createDirectory(atPath: rig.root, withIntermediateDirectories: true)
                try FileManager.default.copyItem(atPath: "/usr/bin/true", toPath: "\(rig.root)/program")
                let (error, _) = try await rig.failStart(hidden)
                #expect(error?.message == "cannot execute \(rig.root)/program: No such file or directory")
                let problem = await Profile.sandboxProblem(rig.pool.tools.spawner, root: "\(rig.root)/missing")
                #expect(problem?.contains("/missing") == true)
            }
        }

        @Test("a worker is shown others' workspaces neither by their name nor by a link")
        func hidden() async throws {
            try await withRig { rig in
                try FileManager.default.createDirectory(atPath: "\(rig.root)/other", withIntermediateDirectories: true)
                let link = FileManager.default.temporaryDirectory.appending(path: "link-\(UUID())").path
                try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: rig.root)
                defer { unlink(link) }
                for path in [rig.root, "\(rig.root)/other", link, "\(link)/other"] {
                    let (error, _) = try await rig.failStart(
                        Rig.configuration("echo") {
                            $0.isolation = .sandbox
                            $0.readOnlyPaths = [Rig.double, path]
                        }
                    )
                    #expect(error?.message.contains("read_only_paths must not show workspaces") == true, "\(path)")
                }
            }
        }

        @Test("a bound on processes is refused for root where no control group can keep it")
        func processesOfRoot() {
            var configuration = AgentConfiguration(driver: .command, command: ["true"], storeMode: .none)
            configuration.limits.processes = 10
            let none = ControlGroups.Finding.none("there are none")
            #expect(Profile.refusal(configuration, user: 0, groups: none) == nil)
            for profile in [Isolation.limits, .sandbox] {
                configuration.isolation = profile
                let refusal = Profile.refusal(configuration, user: 0, groups: none)
                #expect(refusal?.hasPrefix("limits.processes cannot be kept") == true)
                #expect(refusal?.contains("(there are none)") == true)
                #expect(Profile.refusal(configuration, user: 0, groups: .directory("/g")) == nil)
                #expect(Profile.refusal(configuration, user: 1_000, groups: none) == nil)
            }
        }
    }
}

/// Something that listens and answers nobody.
private final class Listener {
    let descriptor: Int32
    private(set) var port: UInt16 = 0

    convenience init(path: String) throws {
        try self.init(unix: Array(path.utf8))
    }

    convenience init(abstract name: String) throws {
        try self.init(unix: [0] + Array(name.utf8))
    }

    private init(unix name: [UInt8]) throws {
        self.descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.prefix($0.count)) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        try Self.listen(self.descriptor, &address, length)
    }

    init(port: UInt16) throws {
        self.descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try Self.listen(self.descriptor, &address, length)
        try withUnsafeMutableBytes(of: &address) { bytes in
            let raw = try #require(bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self))
            let result = getsockname(self.descriptor, raw, &length)
            try #require(result == 0)
        }
        self.port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(self.descriptor) }

    private static func listen<Address>(_ descriptor: Int32, _ address: inout Address, _ length: socklen_t) throws {
        try withUnsafeBytes(of: &address) { bytes in
            let raw = try #require(bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self))
            try #require(bind(descriptor, raw, length) == 0 && Glibc.listen(descriptor, 16) == 0)
        }
    }
}
