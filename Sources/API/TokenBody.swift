import Domain

/// The body of `POST /v1/tokens`.
struct TokenBody: Hashable, Sendable {
    /// Ten years.
    private static let longestLife: Int64 = 315_360_000

    var name: String
    var scopes: Set<Scope>
    /// Nil for a token that does not expire.
    var lifetimeSeconds: Int64?

    /// Checks every member. Throws 400 with the member's path.
    init(_ json: JSONValue) throws(APIError) {
        let members = try JSONMembers(json, known: ["name", "scopes", "expires_in_seconds"])
        guard let name = try members.text("name") else { throw .invalid("name", "is missing") }
        let isClean = name.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
        guard isClean, (1...128).contains(name.unicodeScalars.count) else {
            throw .invalid("name", "must be 1 to 128 characters, none of them a control character")
        }
        self.name = name
        guard let scopes = members["scopes"] else { throw .invalid("scopes", "is missing") }
        self.scopes = try Self.scopes(scopes)
        self.lifetimeSeconds = try members.integer("expires_in_seconds", in: 1...Self.longestLife)
    }

    private static func scopes(_ value: JSONValue) throws(APIError) -> Set<Scope> {
        guard let elements = value.elements, !elements.isEmpty else {
            throw .invalid("scopes", "must be an array with at least one scope")
        }
        var scopes: Set<Scope> = []
        for (index, element) in elements.enumerated() {
            guard let scope = element.text.flatMap(Scope.init(rawValue:)) else {
                let known = Scope.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("scopes[\(index)]", "must be one of \(known)")
            }
            scopes.insert(scope)
        }
        return scopes
    }
}
