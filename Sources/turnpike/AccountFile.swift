import Domain
import Foundation
import Workers

/// The file that says which accounts a replica hosts, and what makes a worker act as each of them.
///
///     {"accounts": [{"provider": "example", "principal": "seat-17", "label": "seat 17", "slots": 2,
///                    "environment": {"API_BASE": "…"}, "secrets": {"API_KEY": "/run/secrets/seat-17"}}]}
///
/// `secrets` names files. What stands in them reaches the workers of the account and nothing else: neither the database
/// nor another replica knows it.
struct AccountFile {
    private struct Entry: Decodable {
        let organization: String?
        let provider: String
        let principal: String
        let label: String?
        let pool: String?
        let slots: Int?
        let environment: [String: String]?
        let secrets: [String: String]?

        private enum Member: String, CodingKey, CaseIterable {
            case organization, provider, principal, label, pool, slots, environment, secrets
        }

        init(from decoder: any Decoder) throws {
            try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: Member.self)
            self.organization = try values.decodeIfPresent(String.self, forKey: .organization)
            self.provider = try values.decode(String.self, forKey: .provider)
            self.principal = try values.decode(String.self, forKey: .principal)
            self.label = try values.decodeIfPresent(String.self, forKey: .label)
            self.pool = try values.decodeIfPresent(String.self, forKey: .pool)
            self.slots = try values.decodeIfPresent(Int.self, forKey: .slots)
            self.environment = try values.decodeIfPresent([String: String].self, forKey: .environment)
            self.secrets = try values.decodeIfPresent([String: String].self, forKey: .secrets)
        }
    }

    private struct Document: Decodable {
        let accounts: [Entry]
    }

    /// The accounts that the file at `path` names.
    static func read(_ path: String) throws(CommandFailure) -> [AccountHosting] {
        let text: String
        do {
            text = try CommandContext.read(path)
        } catch {
            throw CommandFailure(.usage, "\(path): the file of accounts cannot be read")
        }
        return try self.parse(text, path: path) { file throws(CommandFailure) in
            try SettingLayers.secret(file, variable: path, read: CommandContext.read)
        }
    }

    /// The files of secrets that the file at `path` names.
    static func secrets(_ path: String) throws -> [String] {
        let text = try CommandContext.read(path)
        let entries = try JSONDecoder().decode(Document.self, from: Data(text.utf8)).accounts
        return entries.flatMap { ($0.secrets ?? [:]).values }
    }

    /// The accounts that `text` names; `secret` gives what stands in a file.
    static func parse(
        _ text: String,
        path: String,
        secret: (String) throws(CommandFailure) -> String
    ) throws(CommandFailure) -> [AccountHosting] {
        let entries: [Entry]
        do {
            entries = try JSONDecoder().decode(Document.self, from: Data(text.utf8)).accounts
        } catch {
            throw CommandFailure(
                .usage,
                #"\#(path): must be {"accounts": [{"provider": …, "principal": …}, …]}: \#(error)"#
            )
        }
        var hostings: [AccountHosting] = []
        for (index, entry) in entries.enumerated() {
            do {
                hostings.append(try self.hosting(entry, secret: secret))
            } catch let failure as CommandFailure {
                throw failure
            } catch {
                throw CommandFailure(.usage, "\(path): accounts[\(index)]: \(error)")
            }
        }
        guard Set(hostings.map(\.identity)).count == hostings.count else {
            throw CommandFailure(.usage, "\(path): an account occurs twice")
        }
        return hostings
    }

    private struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// Throws for what no process can be given, or what its worker would not get.
    private static func checkVariable(_ name: String, _ value: String) throws {
        guard !name.isEmpty, !name.contains("="), !name.utf8.contains(0), !value.utf8.contains(0) else {
            throw Problem(
                description: "environment: \(name.debugDescription) has a name or value that no process can be given"
            )
        }
        guard !name.hasPrefix(WorkerEnvironment.reserved) else {
            throw Problem(
                description: "environment: \(name): names with \(WorkerEnvironment.reserved) are the gateway's"
            )
        }
    }

    private static func hosting(
        _ entry: Entry,
        secret: (String) throws(CommandFailure) -> String
    ) throws -> AccountHosting {
        guard AccountIdentity.isClean(entry.principal, longest: AccountIdentity.longestPrincipal) else {
            throw Problem(description: "principal must be 1 to 500 characters, none of them a control character")
        }
        if let label = entry.label, !AccountIdentity.isClean(label, longest: AccountIdentity.longestLabel) {
            throw Problem(description: "label must be 1 to 200 characters, none of them a control character")
        }
        let slots = entry.slots ?? 1
        guard (1...100_000).contains(slots) else { throw Problem(description: "slots must be from 1 to 100000") }
        var environment = entry.environment ?? [:]
        for (name, file) in entry.secrets ?? [:] { environment[name] = try secret(file) }
        for (name, value) in environment { try self.checkVariable(name, value) }
        return AccountHosting(
            identity: AccountIdentity(
                org: try OrganizationID(entry.organization ?? "default"),
                provider: try ProviderID(entry.provider),
                principal: entry.principal
            ),
            label: entry.label,
            pool: try entry.pool.map { try PoolID($0) },
            slots: slots,
            environment: environment
        )
    }
}
