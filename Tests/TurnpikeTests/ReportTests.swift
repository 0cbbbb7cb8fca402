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

    @Test("a replica whose record vanished is not called empty")
    func gone() throws {
        let replica: JSONValue = ["id": "r1", "draining": true, "workers": 0, "conversations": 0]
        #expect(try DrainCommand.record(of: "r1", in: ["replicas": [replica]]) == replica)
        #expect {
            try DrainCommand.record(of: "r2", in: ["replicas": [replica]])
        } throws: { error in
            "\(error)".contains("is gone")
        }
    }

    @Test("a secret that ends says when, one that does not says nothing of it")
    func term() {
        #expect(TokenCommands.term(["expires_at": .null]) == "")
        let text = TokenCommands.term(["expires_at": "2026-01-01T00:05:00.000Z"])
        #expect(text.contains("until 2026-01-01T00:05:00.000Z"))
    }

    @Test("doctor refuses a listening address that serve refuses, and reads the files that serve reads")
    func files() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "doctor-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func file(_ name: String, _ text: String) throws -> String {
            let path = folder.appending(path: name).path
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            return path
        }
        func findings(_ flags: [Setting: String]) async throws -> [String] {
            let layers = try SettingLayers(flags: flags)
            let configuration = try Configuration(layers, host: "h", directory: "/")
            let port = DoctorCommand.port(configuration.listen, of: .listen)
            let found = await [port] + DoctorCommand.files(configuration)
            return found.map { "\($0.subject) \($0.state)" }
        }
        #expect(try await findings([.listen: "somewhere.example:0"]) == ["listen fail"])
        #expect(try await findings([.listen: "localhost:0"]) == ["listen ok"])
        let keys = try file("keys.json", #"{"keys":[]}"#)
        let identity =
            #"{"issuer":"https://id.example","audience":"a","keys":"\#(keys)","#
            + #""organization":{"fixed":"acme"},"scopes":{"claim":"roles","map":{"u":["turns"]}}}"#
        let broken = try file("broken.json", "{")
        let good: [Setting: String] = [
            .listen: "127.0.0.1:0", .identity: try file("identity.json", identity),
            .accounts: try file("accounts.json", #"{"accounts":[]}"#),
            .upstreams: try file("upstreams.json", #"{"up":{"url":"http://127.0.0.1:1/v1"}}"#),
        ]
        let fine = ["listen ok", "upstreams ok", "proxy_listen ok", "accounts ok", "identity ok"]
        #expect(try await findings(good) == fine)
        for setting in [Setting.identity, .accounts, .upstreams] {
            var flags = good
            flags[setting] = broken
            #expect(try await findings(flags).contains("\(setting.rawValue) fail"))
        }
        #expect(try await findings(good.merging([.upstreams: folder.path + "/none"]) { $1 }).contains("upstreams fail"))
        try FileManager.default.removeItem(atPath: keys)
        #expect(try await findings(good).contains("identity warn"))
    }
}
