import Glibc
import TestKit

/// nginx in front of the replicas: round robin, its default buffering, a free port.
struct Balancer: Sendable {
    let port: Int
    private let process: Spawned

    /// Starts it in `folder` and returns once it answers. `backup` is asked while none of the others can be reached.
    static func start(
        to upstreams: [Int],
        backup: Int? = nil,
        in folder: ScratchDirectory
    ) async throws -> Balancer {
        let program = try Missing.program("/usr/sbin/nginx", remedy: "apt-get install nginx-light")
        let port = try LocalSocket.freePort()
        let directory = folder.file("balancer")
        guard mkdir(directory, 0o755) == 0 else { throw Missing(description: "\(directory) cannot be made") }
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path \(directory)/\($0);" }.joined(separator: " ")
        let spare = backup.map { ["server 127.0.0.1:\($0) backup;"] } ?? []
        // One that is being restarted is asked again at once: by default nginx would leave it alone for ten seconds, and three
        // that restart within one for as long together.
        let servers = (upstreams.map { "server 127.0.0.1:\($0) max_fails=0;" } + spare).joined(separator: " ")
        try folder.write(
            """
            daemon off; master_process off; worker_processes 1; pid \(directory)/pid; error_log \(directory)/log;
            events { worker_connections 1024; }
            http {
              access_log off; \(paths)
              upstream replicas { \(servers) }
              server {
                listen 127.0.0.1:\(port);
                location / { proxy_pass http://replicas; proxy_http_version 1.1; proxy_read_timeout 120s; }
              }
            }
            """,
            to: "balancer/conf"
        )
        let process = try await Spawned.start(
            [program, "-p", directory, "-e", "\(directory)/log", "-c", "\(directory)/conf"],
            environment: [:],
            output: "\(directory)/output"
        )
        let balancer = Balancer(port: port, process: process)
        try await eventually("nginx listens") {
            do {
                close(try LocalSocket.connect(port: port))
                return true
            } catch {
                return false
            }
        }
        return balancer
    }

    func stop() async throws {
        self.process.signal(SIGKILL)
        try await self.process.end(within: .seconds(5))
    }
}
