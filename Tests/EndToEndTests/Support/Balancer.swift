import Foundation
import TestKit

/// One of the balancers that `deploy` has a configuration for, with that configuration, on a free port.
struct Balancer: Sendable {
    /// Which program.
    enum Kind: String, Sendable, CaseIterable {
        case nginx
        case haproxy

        fileprivate var configuration: String { self == .nginx ? "nginx.conf" : "haproxy.cfg" }

        /// In the foreground and in one process, so that its end is the end of everything.
        fileprivate func words(_ program: String, _ configuration: String) -> [String] {
            switch self {
            case .nginx: [program, "-e", "stderr", "-g", "daemon off; master_process off;", "-c", configuration]
            case .haproxy: [program, "-db", "-f", configuration]
            }
        }
    }

    let port: Int
    private let process: Spawned

    /// Starts it in `folder` and returns once it answers. `backup` is asked while none of the others can be reached;
    /// only nginx's configuration knows how to say that.
    static func start(
        _ kind: Kind = .nginx,
        to upstreams: [Int],
        backup: Int? = nil,
        in folder: ScratchDirectory
    ) async throws -> Balancer {
        let program = try Missing.program("/usr/sbin/\(kind.rawValue)", remedy: "deploy/packages.sh test")
        let port = try LocalSocket.freePort()
        let deployed = TextFile.read("\(Places.repository)/deploy/\(kind.configuration)")
        let text = try self.adapted(deployed, port: port, upstreams, backup, temporary: folder.file("balancer"))
        let process = try await Spawned.start(
            kind.words(program, try folder.write(text, to: kind.configuration)),
            environment: [:],
            output: folder.file("balancer.log")
        )
        try await eventually("\(kind.rawValue) listens, or has ended") {
            if process.hasEnded { throw Missing(description: "\(kind.rawValue) ended: \(process.text.suffix(2_000))") }
            do {
                close(try LocalSocket.connect(port: port))
                return true
            } catch {
                return false
            }
        }
        return Balancer(port: port, process: process)
    }

    /// The configuration with these replicas in the places of its three, which only the composed network knows.
    private static func adapted(
        _ deployed: String,
        port: Int,
        _ upstreams: [Int],
        _ backup: Int?,
        temporary: String
    ) throws -> String {
        var text = deployed
        for (place, own) in [("listen 8080;", "listen 127.0.0.1:\(port);"), ("bind :8080", "bind 127.0.0.1:\(port)")] {
            text = text.replacingOccurrences(of: place, with: own)
        }
        text = text.replacingOccurrences(of: "/tmp/nginx", with: temporary)
        var ports = upstreams + (backup.map { [$0] } ?? [])
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).compactMap { line -> String? in
            guard let name = line.firstMatch(of: /gateway-\d:7100/)?.range else { return String(line) }
            guard let port = ports.first else { return nil }
            ports.removeFirst()
            let isBackup = backup != nil && ports.isEmpty
            let server = line.replacingCharacters(in: name, with: "127.0.0.1:\(port)")
            return isBackup ? server.replacingOccurrences(of: ";", with: " backup;") : server
        }
        let isKnown = text.contains("127.0.0.1:\(port)") && ports.isEmpty
        guard isKnown else { throw Missing(description: "the configuration has no place for these replicas") }
        return lines.joined(separator: "\n")
    }

    func stop() async throws {
        self.process.signal(SIGKILL)
        try await self.process.end(within: .seconds(5))
    }
}
