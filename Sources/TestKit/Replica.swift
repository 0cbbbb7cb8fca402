internal import Foundation
package import Glibc

/// One `turnpike serve`.
package struct Replica: Sendable {
    /// Where it serves.
    package let port: Int
    /// Its process.
    package let process: Spawned
    /// Its identity, as in the database.
    package let id: String

    /// The number of its process.
    package var pid: pid_t { self.process.pid }

    /// Starts `program` and returns once it is ready.
    package static func start(
        _ program: String,
        _ environment: [String: String],
        output: String
    ) async throws -> Replica {
        let process = try await Spawned.start(
            [program, "serve"],
            environment: environment,
            output: output
        )
        var port = 0
        var id = ""
        // What it says of itself once it listens.
        try await eventually("the replica listens, or has ended", within: .seconds(30)) {
            if process.hasEnded { throw Missing(description: "the replica ended: \(process.text.suffix(2_000))") }
            guard let line = process.text.split(separator: "\n").first(where: { $0.contains("replica starts") }) else {
                return false
            }
            port = Self.member("port", in: String(line)).flatMap { Int($0) } ?? 0
            id = Self.member("replica", in: String(line)) ?? ""
            return port > 0
        }
        let replica = Replica(port: port, process: process, id: id)
        try await eventually("the replica is ready", within: .seconds(30)) {
            try await HTTPClient(port: replica.port).send("GET", "/readyz").status == 200
        }
        return replica
    }

    /// The value of a member of a line of the log.
    private static func member(_ name: String, in line: String) -> String? {
        guard let start = line.range(of: "\"\(name)\":")?.upperBound else { return nil }
        return String(line[start...].prefix { $0 != "," && $0 != "}" }.filter { $0 != "\"" })
    }

    /// Ends it as `kill -9` does.
    package func kill() async throws {
        self.process.signal(SIGKILL)
        try await self.process.end(within: .seconds(5))
    }

    /// Asks it to leave and waits for the exit code.
    package func leave(within limit: Duration = .seconds(35)) async throws -> Int32 {
        self.process.signal(SIGTERM)
        return try await self.process.end(within: limit)
    }
}
