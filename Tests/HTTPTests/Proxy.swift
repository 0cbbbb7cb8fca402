import Glibc
import Runtime
import Testing

/// A real reverse proxy in front of a server, on a free loopback port, with a private directory.
struct Proxy: Sendable {
    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    let port: Int
    private let process: pid_t
    private let directory: String

    /// nginx that passes bodies on as they come and keeps connections to the back end open.
    static func nginx(to backend: Int) async throws -> Proxy {
        try await self.start("/usr/sbin/nginx", package: "nginx-light", backend) { directory, port in
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map { "\($0)_temp_path \(directory)/\($0);" }.joined(separator: " ")
            return (
                """
                daemon off; master_process off; worker_processes 1; pid \(directory)/pid; error_log \(directory)/log;
                events { worker_connections 256; }
                http {
                  access_log off; \(paths)
                  upstream back { server 127.0.0.1:\(backend); keepalive 4; }
                  server {
                    listen 127.0.0.1:\(port);
                    location / {
                      proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
                      proxy_set_header Host $http_host; proxy_request_buffering off; proxy_buffering off;
                    }
                  }
                }
                """,
                ["-p", directory, "-e", "\(directory)/log", "-c", "\(directory)/conf"]
            )
        }
    }

    /// HAProxy that keeps and shares connections to the back end.
    static func haproxy(to backend: Int) async throws -> Proxy {
        try await self.start("/usr/sbin/haproxy", package: "haproxy", backend) { directory, port in
            (
                """
                global
                  maxconn 256
                defaults
                  mode http
                  option http-keep-alive
                  http-reuse always
                  timeout connect 2s
                  timeout client 5s
                  timeout server 5s
                frontend front
                  bind 127.0.0.1:\(port)
                  default_backend back
                backend back
                  server one 127.0.0.1:\(backend)

                """,
                ["-db", "-q", "-f", "\(directory)/conf"]
            )
        }
    }

    /// A proxy that is told where to pass requests on, and nothing else but to give up a back end that is silent for a
    /// second: what takes their defaults a minute or more.
    static func asInstalled(_ kind: DifferentialTests.Kind, to backend: Int) async throws -> Proxy {
        switch kind {
        case .nginx:
            try await self.start("/usr/sbin/nginx", package: "nginx-light", backend) { directory, port in
                let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map { "\($0)_temp_path \(directory)/\($0);" }.joined(separator: " ")
                return (
                    """
                    daemon off; master_process off; worker_processes 1; pid \(directory)/pid;
                    error_log \(directory)/log; events {}
                    http {
                      access_log off; \(paths)
                      server {
                        listen 127.0.0.1:\(port);
                        location / { proxy_pass http://127.0.0.1:\(backend); proxy_read_timeout 1s; }
                      }
                    }
                    """,
                    ["-p", directory, "-e", "\(directory)/log", "-c", "\(directory)/conf"]
                )
            }
        case .haproxy:
            try await self.start("/usr/sbin/haproxy", package: "haproxy", backend) { directory, port in
                (
                    """
                    defaults
                      mode http
                      timeout connect 2s
                      timeout client 1s
                      timeout server 1s
                    frontend front
                      bind 127.0.0.1:\(port)
                      default_backend back
                    backend back
                      server one 127.0.0.1:\(backend)

                    """,
                    ["-db", "-q", "-f", "\(directory)/conf"]
                )
            }
        }
    }

    private static func start(
        _ program: String,
        package: String,
        _ backend: Int,
        _ configure: @Sendable (String, Int) -> (text: String, arguments: [String])
    ) async throws -> Proxy {
        guard access(program, X_OK) == 0 else {
            throw Missing(description: "\(program) is missing: apt-get install \(package)")
        }
        let directory = try self.temporaryDirectory()
        let port = try self.freePort()
        let (text, arguments) = configure(directory, port)
        try self.write(text, to: "\(directory)/conf")
        let process = try self.spawn([program] + arguments)
        let proxy = Proxy(port: port, process: process, directory: directory)
        let isUp = try await eventually(within: .seconds(10)) {
            do {
                _ = try RawClient(port: port)
                return true
            } catch {
                return false
            }
        }
        guard isUp else {
            proxy.stop()
            throw Missing(description: "\(program) does not listen")
        }
        return proxy
    }

    /// Ends the proxy, by its process id, and removes its directory.
    func stop() {
        kill(self.process, SIGKILL)
        var status: Int32 = 0
        waitpid(self.process, &status, 0)
        for name in ["conf", "log", "pid"] { unlink("\(self.directory)/\(name)") }
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] { rmdir("\(self.directory)/\(name)") }
        rmdir(self.directory)
    }

    private static func temporaryDirectory() throws -> String {
        var template = Array("/tmp/http-proxy-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func freePort() throws -> Int {
        let descriptor = try SystemError.check(
            "socket",
            socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        )
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, length) == 0 ? getsockname(descriptor, raw, &length) : -1
            }
        }
        try SystemError.check("bind", code)
        return Int(in_port_t(bigEndian: address.sin_port))
    }

    private static func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "w") else { throw SystemError.last("fopen") }
        defer { fclose(file) }
        fputs(text, file)
    }

    static func spawn(_ arguments: [String]) throws -> pid_t {
        var pid: pid_t = 0
        var raw = arguments.map { strdup($0) } + [nil]
        defer { raw.forEach { free($0) } }
        let code = posix_spawn(&pid, arguments[0], nil, nil, &raw, environ)
        guard code == 0 else { throw SystemError(call: "posix_spawn", number: code) }
        return pid
    }
}
