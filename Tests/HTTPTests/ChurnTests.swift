import Glibc
import HTTP
import Runtime
import Testing

@Suite("Churn", .takingTurns)
struct ChurnTests {
    private static var configuration: HTTPConfiguration {
        var configuration = HTTPConfiguration()
        configuration.headerDeadline = .milliseconds(400)
        configuration.bodyDeadline = .milliseconds(400)
        configuration.keepAlive = .milliseconds(400)
        configuration.linger = .milliseconds(200)
        return configuration
    }

    private static var router: Router {
        var router = Router()
        router.on("GET", "/a") { _ in Response(text: "a") }
        router.on("POST", "/a") { Response(text: "\($0.body.count)") }
        router.on("GET", "/silent") { _ in
            .events { events in
                try await events.comment()
                try await Task.sleep(for: .seconds(30))
            }
        }
        return router
    }

    /// One client that misbehaves in one of eight ways. Those that stay are given back, to be timed out.
    private static func abuse(_ port: Int, _ way: Int) throws -> RawClient? {
        let client = try RawClient(port: port)
        let whole = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
        switch way {
        case 0: client.send(whole)
        case 1:
            client.send(whole)
            client.resetOnClose()
        case 2:
            client.send("GET /a HT")
            client.halfClose()
            _ = client.receiveAll(within: 1000)
        case 3:
            client.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n")
            _ = client.receiveSome(within: 1000)
            client.resetOnClose()
        case 4:
            client.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n")
            client.halfClose()
        case 5:
            client.send("nonsense\r\n\r\n")
            _ = client.receiveSome(within: 1000)
        case 6:
            client.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
            return client
        default:
            client.send("GET /a HTTP/1.1\r\nHo")
            return client
        }
        return nil
    }

    @Test("thousands of abusive connections leave no descriptor, no task and no memory behind")
    func leavesNothing() async throws {
        try await TestServer.with(Self.router, configuration: Self.configuration) { server in
            var resident: [Int] = []
            for _ in 0..<4 {
                try await server.client { port in
                    var stay: [RawClient] = []
                    for index in 0..<1200 {
                        if let client = try Self.abuse(port, index % 8) { stay.append(client) }
                    }
                    for client in stay {
                        // Timed out by the server, with 408.
                        #expect(client.receiveAll(within: 5000).closed)
                    }
                }
                #expect(try await eventually(within: .seconds(10)) { server.openConnections == 0 })
                #expect(Self.descriptors(on: server.port) == 1, "only the listener")
                resident.append(Self.residentKilobytes())
            }
            let growth = (resident.last ?? 0) - (resident.first ?? 0)
            #expect(growth < 32 * 1024, "\(resident) KiB")
        }
    }

    /// Descriptors of this process whose local port is `port`: the server's, whatever else runs here.
    private static func descriptors(on port: Int) -> Int {
        var count = 0
        for descriptor in 0..<Int32(4096) {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let code = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
            }
            if code == 0, address.sin_family == sa_family_t(AF_INET),
                Int(in_port_t(bigEndian: address.sin_port)) == port
            {
                count += 1
            }
        }
        return count
    }

    private static func residentKilobytes() -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, 128, file) != nil else { return 0 }
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4
    }
}
