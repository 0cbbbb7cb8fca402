import Domain
import Foundation
import Glibc
import Runtime
import Testing

@testable import turnpike

@Suite("What commands report")
struct ReportTests {
    @Test("doctor ends with 3 when the database is out of reach, with 1 for other failures, and a warning is none")
    func doctorExit() {
        let ok = DoctorCommand.Finding.ok("a", "fine")
        let warn = DoctorCommand.Finding.warn("b", "hm", "do this")
        let fail = DoctorCommand.Finding.fail("c", "no", "do that")
        var away = fail
        away.isUnreachable = true
        #expect(DoctorCommand.exit([ok, warn]) == .success)
        #expect(DoctorCommand.exit([ok, fail]) == .failure)
        #expect(DoctorCommand.exit([fail, away]) == .unreachable)
        let lines = DoctorCommand.lines([ok, fail]).split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[1].hasPrefix("fail  c "))
        #expect(lines[2].hasSuffix("-> do that"))
    }

    @Test("status shows replicas and dead letters, and says when there are none")
    func status() {
        let replica: JSONValue = [
            "id": "r1", "label": "one", "version": "1", "draining": true, "workers": 3, "conversations": 4,
        ]
        let none = StatusCommand.screen(replicas: ["replicas": [replica]], deadLetters: ["dead_letters": []])
        #expect(none.contains("one      r1  1        draining  3        4"))
        #expect(none.contains("No dead letters."))
        let letter: JSONValue = ["turn": "t1", "agent": "a", "code": "lease_timeout", "message": "a\u{1B}[2Jb"]
        let some = StatusCommand.screen(replicas: ["replicas": []], deadLetters: ["dead_letters": [letter]])
        #expect(some.contains("t1"))
        #expect(some.contains("a[2Jb"))
    }

    @Test("workers shows what each uses, and the agents that do not start with their last error")
    func workers() {
        let worker: JSONValue = [
            "state": "idle", "pid": 7, "agent": "a", "conversation": "c", "age_seconds": 5, "resident_bytes": 3_145_728,
            "cpu_milliseconds": 40,
        ]
        let circuit: JSONValue = ["agent": "b", "state": "open", "failures": 3, "last_error": "no such file"]
        let screen = WorkersCommand.screen(["workers": [worker], "circuits": [circuit]])
        #expect(screen.contains("idle   7    -    a      c             5 s  3 MiB   40 ms"))
        #expect(screen.contains("-    b      open     3         no such file"))
        #expect(WorkersCommand.screen(["workers": [], "circuits": []]) == "No workers.\n")
    }

    @Test("a port that someone listens on is passed over")
    func ports() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutableBytes(of: &address) { bytes in
            guard let raw = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return false }
            return bind(descriptor, raw, length) == 0 && listen(descriptor, 1) == 0
                && getsockname(descriptor, raw, &length) == 0
        }
        try #require(isListening)
        let taken = Configuration.Address(host: "127.0.0.1", port: Int(UInt16(bigEndian: address.sin_port)))
        #expect(LocalPort.problem(taken) != nil)
        #expect(LocalPort.firstFree(from: taken).port > taken.port)
    }

    @Test("the banner's lines name the address, the token, and the program as it was called")
    func banner() {
        let text = DevCommand.banner(
            url: "http://127.0.0.1:7105",
            token: "tpk_x",
            program: "bin/turnpike",
            dataOption: " --data d"
        )
        #expect(text.contains("curl -N http://127.0.0.1:7105/v1/agents/echo/conversations/hello/turns"))
        #expect(text.contains("Bearer tpk_x"))
        #expect(text.contains("  bin/turnpike chat --data d\n"))
    }
}

@Suite("Signals", .serialized)
struct SignalTests {
    @Test("a watched signal reaches the watch, whichever thread gets it, and does not end the process")
    func delivery() async throws {
        let reactor = try Reactor(name: "signals")
        let seen = OneShot<Int32>()
        let watch = try Signals.watch([SIGUSR2], on: reactor) { seen.resolve($0) }
        kill(getpid(), SIGUSR2)
        #expect(await seen.value() == SIGUSR2)
        watch.cancel(thenClose: true)
        reactor.stop()
    }
}
