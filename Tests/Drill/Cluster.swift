import Domain
import Foundation
import Postgres
import Runtime
import TestKit

/// One run's installation: a database, replicas behind their proxies, organizations with their agents.
final class Cluster: Sendable {
    /// The second retries. With the third, keys that are joined without care are mistaken for one another.
    static let agents = ["list", "again", "list:x"]

    let options: Options
    let server: Server
    let database: String
    let folder: ScratchDirectory
    let pool: ConnectionPool
    let slots: [Slot]
    let balancer: Balancer
    let recorder = Recorder()
    /// The replicas' settings, as in the configuration file.
    let settings: [String: String]
    /// Tokens by organization.
    let tokens: [String: String]
    /// One at a time may make the server go away.
    let serverIsTaken = Locked(false)
    /// How many replicas are away until another one has acted.
    private let leaning = Locked(0)

    private init(
        _ options: Options,
        _ server: Server,
        _ database: String,
        _ folder: ScratchDirectory,
        _ slots: [Slot],
        _ settings: [String: String],
        _ tokens: [String: String],
        _ balancer: Balancer
    ) throws {
        self.options = options
        self.settings = settings
        self.server = server
        self.database = database
        self.folder = folder
        self.slots = slots
        self.tokens = tokens
        self.balancer = balancer
        self.pool = ConnectionPool(
            configuration: .init(conninfo: server.conninfo(database) + " application_name=drill", size: 6),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
    }

    /// Starts everything; `limits` are the agents', `arguments` their programs'.
    static func start(
        _ options: Options,
        on server: Server,
        settings: [String: String] = [:],
        limits: String,
        arguments: [String] = [],
        checksHealth: Bool = false
    ) async throws -> Cluster {
        let folder = try ScratchDirectory()
        let database = try await server.database()
        let reactor = try Reactor(name: "proxy")
        var slots: [Slot] = []
        for number in 0..<options.replicas {
            slots.append(try await Slot(number, to: server.socketDirectory, on: reactor))
        }
        var tokens: [String: String] = [:]
        for number in 0..<options.organizations {
            let org = "org-\(number)"
            tokens[org] = try await Self.token(options, server.conninfo(database), folder, org)
        }
        let balancer = Balancer(slots: slots.count, checksHealth: checksHealth)
        let cluster = try Cluster(options, server, database, folder, slots, settings, tokens, balancer)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for slot in slots { group.addTask { try await cluster.boot(slot) } }
            try await group.waitForAll()
        }
        try await cluster.putAgents(limits, arguments)
        return cluster
    }

    private static func token(
        _ options: Options,
        _ conninfo: String,
        _ folder: ScratchDirectory,
        _ org: String
    ) async throws -> String {
        let words = ["token", "create", "drill", "--direct", "--json", "--scope", "turns", "--scope", "agents"]
        let environment = [
            "PATH": "/usr/bin:/bin", "TURNPIKE_DATABASE_URL": conninfo, "TURNPIKE_ORGANIZATION": org,
        ]
        let output = folder.file("token-\(org)")
        let made = try await Spawned.start([options.turnpike] + words, environment: environment, output: output)
        let status = try await made.end(within: .seconds(30))
        let answer = try JSONDecoder().decode(JSONValue.self, from: Data(made.text.utf8))
        guard status == 0, let secret = answer["secret"]?.text else { throw Missing(description: made.text) }
        return secret
    }

    /// Short times, so that what leans on them is seen within a run; `idle` is when a worker that rests may go.
    static func limits(idle: Int) -> String {
        #""start_seconds":15,"turn_seconds":30,"progress_seconds":4,"idle_seconds":\#(idle),"#
            + #""grace_seconds":1,"snapshot_deltas":6"#
    }

    private func putAgents(_ limits: String, _ arguments: [String]) async throws {
        let words = ([try await self.agentProgram()] + arguments).map { "\"\($0)\"" }.joined(separator: ",")
        for (org, token) in self.tokens {
            // Out of reach, so that everything is counted and nothing refused; see `leftovers`.
            _ = try await self.ask("SELECT turnpike.set_quota(\(org), 1000000, 1000000, NULL)")
            guard let target = self.balancer.next() else { throw Missing(description: "no replica") }
            let client = HTTPClient(port: target.port, token: token)
            for agent in Self.agents {
                let retries = agent == "again" ? 1 : 0
                let body = #"{"command":[\#(words)],"retries":\#(retries),"limits":{\#(limits)}}"#
                let answer = try await client.send("PUT", "/v1/agents/\(agent)", body)
                guard (200...201).contains(answer.status) else { throw Missing(description: "\(org): \(answer.text)") }
            }
        }
    }

    /// The worker, compiled into the run's folder, so that its path tells this run's processes from all others.
    private func agentProgram() async throws -> String {
        let compiler = try Missing.program("/usr/bin/cc", remedy: "apt-get install gcc")
        let program = self.folder.file("list_agent")
        let words = [compiler, "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", program]
        let process = try await Spawned.start(
            words + ["\(self.options.repository)/Tests/Drill/workers/list_agent.c"],
            environment: ["PATH": "/usr/bin:/bin"],
            output: self.folder.file("cc.log")
        )
        guard try await process.end(within: .seconds(60)) == 0 else { throw Missing(description: process.text) }
        return program
    }

    // MARK: - Replicas

    /// Takes the leave to have a replica away until its peers have acted; false when none would be left to act.
    func leanOnPeers() -> Bool {
        self.leaning.withLock { count in
            guard count < self.slots.count - 1 else { return false }
            count += 1
            return true
        }
    }

    func leanNoLonger() {
        self.leaning.withLock { $0 -= 1 }
    }

    /// Starts a replica in `slot`; tried again while PostgreSQL may be away.
    @discardableResult
    func boot(_ slot: Slot, environment more: [String: String] = [:]) async throws -> Replica {
        var variables = [
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.folder.path,
            "TURNPIKE_DATABASE_URL": self.conninfo(slot.pool, slot.session("pool")),
            "TURNPIKE_DATABASE_DIRECT_URL": self.conninfo(slot.lock, slot.session("lock")),
            "TURNPIKE_ALLOW_UNSAFE_DURABILITY": "on", "TURNPIKE_LISTEN": "127.0.0.1:0",
            "TURNPIKE_WORKSPACES": self.folder.file("workspaces"), "TURNPIKE_MAX_WORKERS": "1000",
            "TURNPIKE_LABEL": "slot-\(slot.number)", "TURNPIKE_DRAIN_SECONDS": "10",
        ]
        if let plant = self.options.plant { variables["TURNPIKE_PLANT"] = plant }
        for (name, value) in self.settings { variables["TURNPIKE_\(name.uppercased())"] = value }
        variables.merge(more) { _, new in new }
        var attempt = 0
        while true {
            let output = self.folder.file("replica-\(slot.number)-\(slot.nextBoot()).log")
            do {
                let replica = try await Replica.start(self.options.turnpike, variables, output: output)
                slot.put(replica)
                self.balancer.place(slot.number, at: replica.port)
                return replica
            } catch {
                attempt += 1
                if attempt >= 8 { throw error }
                try await Task.sleep(for: .milliseconds(300))
            }
        }
    }

    private func conninfo(_ proxy: FaultProxy, _ name: String) -> String {
        "host=127.0.0.1 port=\(proxy.port) user=postgres dbname=\(self.database) sslmode=disable gssencmode=disable "
            + "application_name=\(name)"
    }

    /// Ends a replica as `kill -9` does, and looks that nothing of its workers stays.
    func kill(_ slot: Slot) async throws {
        guard let replica = slot.replica else { return }
        let tree = ProcessTable.descendants(of: replica.pid)
        slot.put(nil)
        self.balancer.remove(slot.number)
        let start = ContinuousClock.now
        replica.process.signal(SIGKILL)
        try await replica.process.end(within: .seconds(5))
        await self.expectGone(tree, since: start)
    }

    /// Waits until none of `tree` runs any more.
    func expectGone(_ tree: Set<pid_t>, since start: ContinuousClock.Instant) async {
        do {
            try await eventually("the processes of a dead replica are gone", within: .seconds(2)) {
                !tree.contains(where: ProcessTable.runs)
            }
            if !tree.isEmpty { self.recorder.recovered("its processes gone", after: ContinuousClock.now - start) }
        } catch {
            let left = tree.filter(ProcessTable.runs)
            self.recorder.violated("orphans", "\(left.count) of \(tree.count) processes outlived their replica")
        }
    }

    /// Ends what was started and forgets the database.
    func end() async throws {
        for slot in self.slots {
            if let replica = slot.replica {
                replica.process.signal(SIGCONT)
                try await replica.kill()
            }
            await slot.pool.stop()
            await slot.lock.stop()
        }
        await self.pool.close()
        try await self.server.drop(self.database)
    }

    // MARK: - Questions to the database

    /// The rows of a query, asked again while the server is away.
    func ask(_ query: Query, within limit: Duration = .seconds(20)) async throws -> [Row] {
        let deadline = ContinuousClock.now + limit
        while true {
            do {
                return try await self.pool.query(query, deadline: .seconds(60))
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    func count(_ query: Query) async throws -> Int {
        try await self.ask(query).first?.get("count") ?? 0
    }
}
