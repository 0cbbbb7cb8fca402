import Foundation
import Glibc
import Testing

@testable import Subprocess

@Suite("Control groups")
struct ControlGroupTests {
    private static let directory: String? = {
        switch ControlGroups.finding {
        case .directory(let path): return path
        case .none(let problem):
            FileHandle.standardError.write(Data("no test of control groups: \(problem)\n".utf8))
            return nil
        }
    }()

    @Test("the place of this process's group is read from both versions' files, and what is out of reach is none")
    func places() {
        let first = """
            31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
            39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
            """
        let old = "9:name=systemd:/\n8:pids:/a/b\n1:cpu,cpuacct:/\n0::/\n"
        let deep = ControlGroups.place(groups: old, mounts: first)
        #expect(deep?.path == "/sys/fs/cgroup/pids/a/b" && deep?.isUnified == false)
        let top = ControlGroups.place(groups: "8:pids:/\n0::/x\n", mounts: first)
        #expect(top?.path == "/sys/fs/cgroup/pids" && top?.isUnified == false)
        let second = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
        let new = ControlGroups.place(groups: "0::/system.slice/turnpike.service\n", mounts: second)
        #expect(new?.path == "/sys/fs/cgroup/system.slice/turnpike.service" && new?.isUnified == true)
        let part = "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
        #expect(ControlGroups.place(groups: "0::/docker/x/y\n", mounts: part)?.path == "/sys/fs/cgroup/y")
        #expect(ControlGroups.place(groups: "0::/elsewhere\n", mounts: part) == nil)
        #expect(ControlGroups.place(groups: "", mounts: second) == nil)
        #expect(ControlGroups.place(groups: "0::/\n", mounts: "") == nil)
    }

    @Test(
        "a fork bomb meets the bound of its group, root's too, and its neighbour has its own; no group is left",
        .enabled(if: Self.directory != nil)
    )
    func bomb() async throws {
        let directory = try #require(Self.directory)
        let program = """
            import os, time
            made = 0
            try:
                while made < 200:
                    if os.fork() == 0:
                        time.sleep(60)
                    made += 1
            except BlockingIOError:
                pass
            print(made, flush=True)
            time.sleep(60)
            """
        var command = Fixture.python(program)
        command.limits.processes = 20
        command.controlGroups = directory
        let spawner = try Fixture.spawner.get()
        let (one, other) = (try await spawner.start(command), try await spawner.start(command))
        #expect(try await one.number() == 19)
        #expect(try await other.number() == 19)
        let groups = [one, other].map { "\(directory)/turnpike-\($0.pid)" }
        #expect(groups.allSatisfy { access($0, F_OK) == 0 })
        for child in [one, other] { await child.end(.immediate) }
        #expect(groups.allSatisfy { access($0, F_OK) != 0 })
    }

    @Test("a group that cannot be made keeps the program from starting, and says so")
    func refused() async throws {
        var command = Fixture.shell("echo ran")
        command.limits.processes = 20
        command.controlGroups = "/no/such/directory"
        let child = try await Fixture.spawner.get().start(command)
        #expect(await child.exit() == .exited(126))
        #expect(child.startFailure?.message.hasPrefix("cannot make /no/such/directory/turnpike-") == true)
        await child.end(.immediate)
    }
}
