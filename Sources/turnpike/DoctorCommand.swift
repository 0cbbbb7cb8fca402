import Domain
import Foundation
import Postgres
import Runtime
import Store
import Subprocess
import Workers

/// `doctor`: what would keep the gateway from working. Changes nothing.
struct DoctorCommand: Sendable {
    let context: CommandContext

    /// One line of the report.
    struct Finding: Sendable, Hashable {
        enum State: String, Sendable {
            case ok, warn, fail
        }

        let state: State
        let subject: String
        let text: String
        /// What to do, unless all is well.
        var remedy: String?
        /// Whether it is about reaching the database.
        var isUnreachable = false

        static func ok(_ subject: String, _ text: String) -> Finding {
            Finding(state: .ok, subject: subject, text: text)
        }

        static func warn(_ subject: String, _ text: String, _ remedy: String) -> Finding {
            Finding(state: .warn, subject: subject, text: text, remedy: remedy)
        }

        static func fail(_ subject: String, _ text: String, _ remedy: String) -> Finding {
            Finding(state: .fail, subject: subject, text: text, remedy: remedy)
        }
    }

    func run() async throws -> ExitCode {
        let configuration = try self.context.configuration(self.context.layers())
        guard !self.context.printsConfiguration(configuration) else { return .success }
        var findings = [Self.launcher(), Self.descriptors(configuration), Self.port(configuration.listen, of: .listen)]
        findings.append(Self.workspaces(configuration.workspaces))
        findings.append(await Self.sandbox())
        findings += await Self.files(configuration)
        findings += try await self.database(configuration)
        Console.write(self.context.invocation.has("--json") ? try Self.json(findings) : Self.lines(findings))
        return Self.exit(findings)
    }

    // MARK: - This machine

    private static func launcher() -> Finding {
        do {
            return .ok("launcher", try Spawner.findLauncher())
        } catch {
            return .fail("launcher", "\(error)", "Put turnpike-launcher beside turnpike, or set TURNPIKE_LAUNCHER.")
        }
    }

    private static func descriptors(_ configuration: Configuration) -> Finding {
        let limit = Signals.prepareProcess()
        // Three pipes and a pidfd for each worker, about as many for its clients, and some for everything else.
        let needed = configuration.maxWorkers * 8 + 256
        let text = "\(limit) open descriptors, \(needed) wanted for \(configuration.maxWorkers) workers"
        guard limit < needed else { return .ok("descriptors", text) }
        return .warn("descriptors", text, "Raise the limit (LimitNOFILE=, ulimit -Hn) or lower max_workers.")
    }

    static func port(_ address: Configuration.Address, of setting: Setting) -> Finding {
        let subject = setting.rawValue
        guard let problem = LocalPort.problem(address) else { return .ok(subject, "\(address) is free") }
        guard LocalPort.isLiteral(address) else {
            return .fail(subject, "\(address): \(problem)", "Set \(setting.flag) to an address, such as 0.0.0.0:7100.")
        }
        return .warn(
            subject,
            "\(address): \(problem)",
            "Fine if that is turnpike itself; else choose another \(setting.flag)."
        )
    }

    private static func workspaces(_ path: String) -> Finding {
        var parent = path
        while !FileManager.default.fileExists(atPath: parent), parent != "/" {
            parent = (parent as NSString).deletingLastPathComponent
        }
        guard FileManager.default.isWritableFile(atPath: parent) else {
            return .fail(
                "workspaces",
                "\(path): \(parent) is not writable",
                "Create it for this user, or set --workspaces."
            )
        }
        return .ok("workspaces", parent == path ? path : "\(path), to be created")
    }

    /// Not a failure: only agents with that profile need it, and they are refused where it cannot be given.
    private static func sandbox() async -> Finding {
        do {
            let spawner = Spawner(
                launcher: try Spawner.findLauncher(),
                reactor: try Reactor(name: "doctor"),
                blocking: nil,
                log: .silent,
                metrics: nil
            )
            let root = FileManager.default.temporaryDirectory.path
            guard let problem = await Profile.sandboxProblem(spawner, root: root) else {
                return .ok("sandbox", "agents can have the isolation profile sandbox")
            }
            return .warn("sandbox", problem, "Install bubblewrap and allow user namespaces, if an agent is to have it.")
        } catch {
            return .warn("sandbox", "\(error)", "Mend the launcher first.")
        }
    }

    // MARK: - The database

    private func database(_ configuration: Configuration) async throws -> [Finding] {
        let urls: (pooled: String, direct: String)
        do {
            urls = try configuration.requireDatabase()
        } catch {
            return [.fail("database", error.message, error.remedy ?? "")]
        }
        let access = try DatabaseAccess()
        return [
            await Self.pooled(urls.pooled, access),
            await Self.direct(urls.direct, configuration, access),
            await Self.schema(urls.direct, access),
        ]
    }

    private static func pooled(_ conninfo: String, _ access: DatabaseAccess) async -> Finding {
        let shown = Redaction.hide(conninfo)
        do {
            try await access.withStore(conninfo) { try await $0.ping() }
            return .ok("database_url", shown)
        } catch {
            return self.failed("database_url", shown, error)
        }
    }

    private static func direct(
        _ conninfo: String,
        _ configuration: Configuration,
        _ access: DatabaseAccess
    ) async -> Finding {
        let shown = Redaction.hide(conninfo)
        do {
            let facts = try await StartupProbe.run(
                conninfo: conninfo,
                on: access.reactor,
                blocking: access.blocking,
                log: access.log,
                allowUnsafeDurability: configuration.allowsUnsafeDurability
            )
            let text =
                "\(shown): PostgreSQL \(facts.version / 10_000), a primary, no pooler, durable; "
                + "\(facts.maxConnections) connections, \(facts.lockTableSize) locks"
            guard facts.maxConnections >= configuration.poolSize + 4 else {
                return .warn("database_direct_url", text, "Raise max_connections or lower pool_size.")
            }
            let capacity = Wiring.lockCapacity(facts)
            guard capacity < configuration.maxWorkers else { return .ok("database_direct_url", text) }
            return .warn(
                "database_direct_url",
                "\(text), so \(capacity) conversations with saved state at once on a replica",
                "Raise max_locks_per_transaction, or lower max_workers (now \(configuration.maxWorkers))."
            )
        } catch let unfit as StartupProbe.Refusal {
            return .fail("database_direct_url", shown, unfit.description)
        } catch {
            return self.failed("database_direct_url", shown, error)
        }
    }

    private static func schema(_ conninfo: String, _ access: DatabaseAccess) async -> Finding {
        do {
            let applied = try await access.withConnection(conninfo) { connection in
                try await Schema.migrator.appliedCount(on: connection)
            }
            guard applied < Schema.version else { return try await self.walls(conninfo, access, applied) }
            let text = "\(applied) of \(Schema.version) migrations are applied"
            return .fail("schema", text, "Run: turnpike migrate")
        } catch {
            return self.failed("schema", "cannot be read", error)
        }
    }

    private static func walls(_ conninfo: String, _ access: DatabaseAccess, _ applied: Int) async throws -> Finding {
        do {
            let almighty = try await access.withStore(conninfo) { store in
                try await store.checkWalls()
                return try await store.almightyLogin()
            }
            let text = "\(applied) migrations, up to date; organizations are walled off"
            guard let almighty else { return .ok("schema", text) }
            let remedy = "Give the gateway an ordinary role: deploy/roles.sql."
            return .warn("schema", "\(text), but the login \(almighty) passes every wall", remedy)
        } catch let breach as WallBreach {
            return .fail("schema", breach.description, breach.remedy)
        }
    }

    private static func failed(_ subject: String, _ shown: String, _ error: any Error) -> Finding {
        let failure = error as? CommandFailure
        let isUnreachable =
            failure?.exit == .unreachable || (error as? PostgresError).map { $0.isConnectionTrouble } ?? false
        let text = failure?.message ?? (error as? PostgresError)?.message ?? "\(error)"
        let remedy =
            text.contains("FATAL:")
            ? "Check the user, the password and the database in the connection string."
            : "Is PostgreSQL running, and is the connection string right?"
        var finding = Finding.fail(subject, "\(shown): \(text)", isUnreachable ? remedy : "See the message.")
        finding.isUnreachable = isUnreachable
        return finding
    }

    // MARK: - The report

    static func exit(_ findings: [Finding]) -> ExitCode {
        if findings.contains(where: \.isUnreachable) { return .unreachable }
        return findings.contains { $0.state == .fail } ? .failure : .success
    }

    static func lines(_ findings: [Finding]) -> String {
        findings.map { finding in
            let line = "\(finding.state.rawValue.padded(to: 4))  \(finding.subject.padded(to: 19))  \(finding.text)\n"
            return line + (finding.remedy.map { "                           -> \($0)\n" } ?? "")
        }.joined()
    }

    static func json(_ findings: [Finding]) throws -> String {
        let items = findings.map { finding -> JSONValue in
            var members: [String: JSONValue] = [
                "state": .string(finding.state.rawValue), "subject": .string(finding.subject),
                "text": .string(finding.text),
            ]
            if let remedy = finding.remedy { members["remedy"] = .string(remedy) }
            return .object(members)
        }
        return try Console.json(["findings": .array(items)] as JSONValue)
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - self.count))
    }
}
