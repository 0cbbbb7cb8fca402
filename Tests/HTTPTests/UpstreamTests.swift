import Foundation
import Glibc
import Runtime
import Testing

@testable import HTTP

@Suite("The client of other servers", .serialized, .timeLimit(.minutes(1)))
struct UpstreamTests {
    /// Lends a client, and takes it down.
    private static func withClient(_ body: @Sendable (UpstreamClient) async throws -> Void) async throws {
        let reactor = try Reactor(name: "upstream")
        let client = UpstreamClient(reactor: reactor)
        do {
            try await body(client)
        } catch {
            await client.close()
            throw error
        }
        await client.close()
        try await blocking.run { reactor.stop() }
    }

    private static func get(_ port: Int, _ path: String = "/") -> UpstreamRequest {
        UpstreamRequest(method: "GET", url: "http://127.0.0.1:\(port)\(path)")
    }

    private static func all(_ response: UpstreamResponse) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let more = try await response.next() { bytes += more }
        return bytes
    }

    @Test("a body goes there and comes back byte for byte, with status and header lines")
    func echo() async throws {
        var router = Router()
        router.on("POST", "/echo", limit: 8 << 20) { request in
            #expect(request.headers["X-Mine"] == "yes" && request.headers["Expect"] == nil)
            #expect(request.headers["Content-Type"] == "application/octet-stream")
            return Response(status: 203, headers: ["X-Theirs": "a: b"], body: .bytes(request.body))
        }
        try await TestServer.with(router) { server in
            try await Self.withClient { client in
                // Made of a few long blocks: byte by byte it would keep a processor from the suites beside this one.
                let block = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
                for size in [0, 1, 1_500_000] {
                    var body: [UInt8] = []
                    while body.count < size { body += block.prefix(size - body.count) }
                    let request = UpstreamRequest(
                        method: "POST",
                        url: "http://127.0.0.1:\(server.port)/echo",
                        headers: ["X-Mine": "yes", "Content-Type": "application/octet-stream"],
                        body: body
                    )
                    let response = try await client.send(request)
                    #expect(response.status == 203 && response.headers["x-theirs"] == "a: b")
                    #expect(try await Self.all(response) == body)
                }
            }
        }
    }

    @Test("each piece of a stream is there before the next one is sent")
    func pieces() async throws {
        let (seen, pieces) = (Locked(0), 50)
        var router = Router()
        router.on("GET", "/") { _ in
            Response(
                status: 200,
                body: .stream { writer in
                    for piece in 0..<pieces {
                        try await writer.write(Array("data: \(piece)\n\n".utf8))
                        while seen.withLock({ $0 }) <= piece { await Task.yield() }
                    }
                }
            )
        }
        try await TestServer.with(router) { server in
            try await Self.withClient { client in
                let response = try await client.send(Self.get(server.port))
                for piece in 0..<pieces {
                    #expect(try await response.next() == Array("data: \(piece)\n\n".utf8))
                    seen.withLock { $0 = piece + 1 }
                }
                #expect(try await response.next() == nil)
                #expect(try await response.next() == nil)
            }
        }
    }

    @Test("many answers at once keep apart")
    func atOnce() async throws {
        var router = Router()
        router.on("GET", "/{name}") { request in
            let name = request.parameters["name"] ?? ""
            return Response(
                status: 200,
                body: .stream { writer in
                    for _ in 0..<20 { try await writer.write(Array("\(name) ".utf8)) }
                }
            )
        }
        try await TestServer.with(router) { server in
            try await Self.withClient { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            let response = try await client.send(Self.get(server.port, "/n\(number)"))
                            let text = String(decoding: try await Self.all(response), as: UTF8.self)
                            #expect(text == String(repeating: "n\(number) ", count: 20))
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("what nobody reads is not taken, and comes whole once somebody does")
    func backpressure() async throws {
        let (written, total) = (Locked(0), 64 << 20)
        let piece = [UInt8](repeating: 7, count: 1 << 16)
        var router = Router()
        router.on("GET", "/") { _ in
            Response(
                status: 200,
                body: .stream { writer in
                    while written.withLock({ $0 }) < total {
                        try await writer.write(piece)
                        written.withLock { $0 += piece.count }
                    }
                }
            )
        }
        try await TestServer.with(router) { server in
            try await Self.withClient { client in
                let response = try await client.send(Self.get(server.port))
                // It stops by itself: the same figure at forty looks in a row, far from the end.
                let last = Locked((figure: 0, looks: 0))
                let stands = try await eventually(within: .seconds(20)) {
                    let now = written.withLock { $0 }
                    return last.withLock { last in
                        last = (now, now == last.figure && now > 0 ? last.looks + 1 : 0)
                        return last.looks >= 40
                    }
                }
                #expect(stands)
                #expect(written.withLock { $0 } < total / 2, "the kernel's buffers and ours hold less")
                #expect(try await Self.all(response).count == total)
            }
        }
    }

    @Test(
        "an answer that is not wanted any more is given up, before and after its head, and the other side learns of it"
    )
    func cancelling() async throws {
        let (begun, gone) = (Locked(0), Locked(0))
        var router = Router()
        router.on("GET", "/never") { _ in
            begun.withLock { $0 += 1 }
            defer { gone.withLock { $0 += 1 } }
            try await Task.sleep(for: .seconds(60))
            return Response(status: 204)
        }
        router.on("GET", "/stream") { _ in
            Response(
                status: 200,
                body: .stream { writer in
                    begun.withLock { $0 += 1 }
                    defer { gone.withLock { $0 += 1 } }
                    try await writer.write([1])
                    try await Task.sleep(for: .seconds(60))
                }
            )
        }
        try await TestServer.with(router) { server in
            try await Self.withClient { client in
                for path in ["/never", "/stream"] {
                    for way in ["task", "stop"] {
                        let before = begun.withLock { $0 }
                        let stop = StopSignal()
                        var request = Self.get(server.port, path)
                        request.stop = stop
                        let asked = request
                        let task = Task { try await Self.all(try await client.send(asked)) }
                        let isThere = try await eventually { begun.withLock { $0 } > before }
                        #expect(isThere)
                        if way == "task" { task.cancel() } else { stop.raise() }
                        let error = await #expect(throws: UpstreamError.self) { try await task.value }
                        #expect(error?.code == .cancelled, "\(path) \(way)")
                        #expect(try await eventually { gone.withLock { $0 } > before }, "\(path) \(way)")
                    }
                }
                let raised = StopSignal()
                raised.raise()
                var late = Self.get(server.port, "/never")
                late.stop = raised
                let asked = late
                let error = await #expect(throws: UpstreamError.self) { try await client.send(asked) }
                #expect(error?.code == .cancelled)
            }
            #expect(begun.withLock { $0 } == 4)
        }
    }

    @Test("nobody there, no head in time, a silence too long, and an end too early are told apart")
    func failures() async throws {
        try await Self.withClient { client in
            func code(_ request: UpstreamRequest) async throws -> (UpstreamError.Code?, received: Int) {
                var received = 0
                do {
                    let response = try await client.send(request)
                    while let more = try await response.next() { received += more.count }
                    return (nil, received)
                } catch let error as UpstreamError {
                    return (error.code, received)
                }
            }
            let free = try RawServer(answer: "")
            free.stop()
            #expect(try await code(Self.get(free.port)) == (.unreachable, 0))
            let silent = try RawServer(answer: nil)
            var request = Self.get(silent.port)
            request.headTime = .milliseconds(100)
            #expect(try await code(request) == (.late, 0))
            silent.stop()
            let stuck = try RawServer(answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", closes: false)
            request = Self.get(stuck.port)
            request.silence = .milliseconds(500)
            #expect(try await code(request) == (.late, 4), "what had come is handed out")
            stuck.stop()
            for broken in [
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
            ] {
                let server = try RawServer(answer: broken)
                #expect(try await code(Self.get(server.port)) == (.broken, 4))
                server.stop()
            }
            let long = String(repeating: "x", count: 70_000)
            for odd in ["", "no HTTP at all\r\n\r\n", "HTTP/1.1 200 OK\r\nX: \(long)\r\n\r\n"] {
                let server = try RawServer(answer: odd)
                let met = try await code(Self.get(server.port))
                #expect(met == (.broken, 0), "\(met) of \(odd.prefix(20))")
                server.stop()
            }
        }
    }

    @Test("a head of 1xx is no answer, and a redirect is one like any other")
    func heads() async throws {
        try await Self.withClient { client in
            let early = try RawServer(
                answer:
                    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                    + "Content-Length: 2\r\n\r\nno"
            )
            let response = try await client.send(Self.get(early.port))
            #expect(response.status == 302 && response.headers["Link"] == nil)
            #expect(try await Self.all(response) == Array("no".utf8))
            early.stop()
        }
    }

    @Test("over https only who can prove its name is heard")
    func certificates() async throws {
        let server = try await TLSServer.start()
        defer { server.stop() }
        try await Self.withClient { client in
            let request = UpstreamRequest(method: "GET", url: "https://127.0.0.1:\(server.port)/")
            let error = await #expect(throws: UpstreamError.self) { try await client.send(request) }
            #expect(error?.code == .untrusted)
            var trusting = request
            trusting.certificates = server.certificate
            let trusted = trusting
            let answer = try await client.send(trusted)
            #expect(answer.status == 200)
            // The certificate is for 127.0.0.1.
            var other = trusting
            other.url = "https://localhost:\(server.port)/"
            let asked = other
            let wrong = await #expect(throws: UpstreamError.self) { try await client.send(asked) }
            #expect(wrong?.code == .untrusted)
        }
    }
}

/// Answers each connection with the same bytes, once it has sent something.
private final class RawServer: Sendable {
    let port: Int
    private let descriptor: Int32

    /// `answer` nil says nothing. `closes`: whether the connection ends after the answer.
    init(answer: String?, closes: Bool = true) throws {
        let listener = try Socket.listen(host: "127.0.0.1", port: 0)
        (self.port, self.descriptor) = (listener.port, listener.descriptor)
        let descriptor = self.descriptor
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        Thread.detachNewThread {
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { return }
                var buffer = [UInt8](repeating: 0, count: 4_096)
                _ = recv(connection, &buffer, buffer.count, 0)
                guard let answer else { continue }
                let bytes = Array(answer.utf8)
                _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                if closes { close(connection) }
            }
        }
    }

    /// Connections that were left open stay so; the process of the tests ends soon.
    func stop() {
        shutdown(self.descriptor, Int32(SHUT_RDWR))
        close(self.descriptor)
    }
}

/// `openssl s_server` with a certificate of its own for 127.0.0.1.
private struct TLSServer {
    let port: Int
    let certificate: String
    private let process: pid_t

    private static let openssl = "/usr/bin/openssl"

    static func start() async throws -> TLSServer {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let (key, certificate) = ("\(folder)/key.pem", "\(folder)/certificate.pem")
        let made = try Proxy.spawn([
            self.openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=test", "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        try await blocking.run { _ = waitpid(made, nil, 0) }
        let free = try RawServer(answer: "")
        free.stop()
        let process = try Proxy.spawn([
            self.openssl, "s_server", "-accept", "127.0.0.1:\(free.port)", "-cert", certificate, "-key", key, "-www",
            "-quiet",
        ])
        let port = free.port
        let isUp = try await eventually(within: .seconds(10)) { (try? RawClient(port: port)) != nil }
        #expect(isUp, "openssl s_server does not listen")
        return TLSServer(port: port, certificate: certificate, process: process)
    }

    func stop() {
        kill(self.process, SIGKILL)
        waitpid(self.process, nil, 0)
    }
}
