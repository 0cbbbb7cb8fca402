import Crypto
import Domain

/// Whose tokens are believed beside the gateway's own, and what their claims mean: the file that the setting `identity`
/// names.
package struct IdentityConfiguration: Sendable, Hashable {
    /// What is wrong with the file.
    package struct Flaw: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// How a claim is found: the names on the way to it, outermost first.
    typealias Path = [String]

    /// The provider's name, exactly as its tokens spell it in `iss`.
    package let issuer: String
    /// A token is for this gateway if it names one of these in `aud`.
    let audiences: Set<String>
    /// Where the keys are: a URL, or an absolute path of a file. Never what a token says.
    package let keys: String
    let algorithms: Set<VerificationKey.Algorithm>
    /// How far the clocks may be apart.
    let leeway: Int64
    /// The claim that names the organization; nil where all are of one.
    let organizationClaim: Path?
    /// The organization of each value of the claim. Empty: the value is the name.
    let organizations: [String: OrganizationID]
    /// The organization of all, where no claim says it.
    let organization: OrganizationID?
    /// Whether an organization that is not there yet is made when its first token comes.
    let createsOrganizations: Bool
    /// The claim that holds roles: an array of strings, or one string of words.
    let scopeClaim: Path
    /// What each role allows.
    let scopes: [String: Set<Scope>]

    private static let members = [
        "issuer", "audience", "keys", "algorithms", "leeway_seconds", "organization", "scopes",
    ]

    /// Reads and checks the file's text.
    package init(_ text: [UInt8]) throws(Flaw) {
        do {
            let json = try JSONReader.read(text)
            let file = try JSONMembers(json, known: Self.members)
            self.issuer = try Self.text(file, "issuer")
            self.audiences = Set(try Self.strings(file["audience"], "audience"))
            self.keys = try Self.keys(try Self.text(file, "keys"))
            self.algorithms = try Self.algorithms(file["algorithms"])
            self.leeway = try file.integer("leeway_seconds", in: 0...300) ?? 60
            let organization = try JSONMembers(
                file["organization"] ?? [:],
                known: ["claim", "map", "fixed", "create"]
            )
            self.organizationClaim = try organization["claim"].map { try Self.path($0, "organization.claim") }
            self.organization = try organization.text("fixed").map { try OrganizationID($0) }
            self.organizations = try Self.map(organization["map"], "organization.map") { value, _ in
                try OrganizationID(value.text ?? "")
            }
            self.createsOrganizations = try organization.flag("create") ?? false
            let scopes = try JSONMembers(file["scopes"] ?? [:], known: ["claim", "map"])
            self.scopeClaim = try Self.path(scopes["claim"] ?? .null, "scopes.claim")
            self.scopes = try Self.map(scopes["map"], "scopes.map") { value, path in
                Set(
                    try Self.strings(value, path).map { name in
                        guard let scope = Scope(rawValue: name) else { throw APIError.invalid(path, "names no scope") }
                        return scope
                    }
                )
            }
        } catch let error as APIError {
            throw Flaw(description: error.message)
        } catch let error as JSONFailure {
            throw Flaw(description: error.problem)
        } catch {
            throw Flaw(description: "\(error)")
        }
        guard (self.organizationClaim == nil) != (self.organization == nil) else {
            throw Flaw(description: "organization must have either claim or fixed")
        }
        guard !self.scopes.isEmpty else { throw Flaw(description: "scopes.map must name at least one role") }
    }

    private static func text(_ file: JSONMembers, _ name: String) throws -> String {
        guard let text = try file.text(name), !text.isEmpty else { throw APIError.invalid(name, "is missing") }
        return text
    }

    /// An address whose answer nobody can forge on the way, or a file.
    private static func keys(_ text: String) throws -> String {
        let isLocal = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].contains { text.hasPrefix($0) }
        guard text.hasPrefix("https://") || text.hasPrefix("/") || isLocal else {
            throw APIError.invalid("keys", "must be an https URL or the absolute path of a file")
        }
        return text
    }

    /// One string, or several.
    private static func strings(_ value: JSONValue?, _ path: String) throws -> [String] {
        if let text = value?.text, !text.isEmpty { return [text] }
        guard let elements = value?.elements, !elements.isEmpty else {
            throw APIError.invalid(path, "must be a string, or an array of at least one")
        }
        return try elements.map { element in
            guard let text = element.text, !text.isEmpty else { throw APIError.invalid(path, "must hold strings only") }
            return text
        }
    }

    private static func path(_ value: JSONValue, _ path: String) throws -> Path {
        try self.strings(value, path)
    }

    private static func algorithms(_ value: JSONValue?) throws -> Set<VerificationKey.Algorithm> {
        guard let value else { return Set(VerificationKey.Algorithm.allCases) }
        return Set(
            try self.strings(value, "algorithms").map { name in
                guard let algorithm = VerificationKey.Algorithm(rawValue: name) else {
                    throw APIError.invalid("algorithms", "may hold RS256, ES256 and EdDSA")
                }
                return algorithm
            }
        )
    }

    private static func map<Value>(
        _ value: JSONValue?,
        _ path: String,
        _ read: (JSONValue, String) throws -> Value
    ) throws -> [String: Value] {
        guard let value else { return [:] }
        guard case .object(let members) = value else { throw APIError.invalid(path, "must be an object") }
        var map: [String: Value] = [:]
        for (name, member) in members { map[name] = try read(member, "\(path).\(name)") }
        return map
    }
}
