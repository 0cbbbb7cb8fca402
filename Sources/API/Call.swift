import Domain
import Gateway
import HTTP

/// A request that has been let in: what a route's action gets, checked and scoped.
struct Call: Sendable {
    let request: Request
    let principal: Principal
    /// Whether a browser's session spoke, not a token.
    let isWebSession: Bool
    /// The caller's organization; the only data the action can reach.
    let tenant: Tenant
    /// Whether the token would still be let in, as of the last second. What lasts longer than that asks again.
    let isStillAdmitted: @Sendable () async throws -> Bool
    /// Runs what lasts longer than that, and has the token looked after meanwhile.
    let lastingly: @Sendable (_ body: () async throws -> Void) async throws -> Void

    /// Follows a log as `Tenant.follow` does. Returns when the token would not be let in any more, too.
    func follow(
        _ number: ConversationNumber,
        after: Int64,
        turn: TurnID?,
        keepalive: Duration,
        _ body: (consuming [EventRecord]) async throws -> Bool
    ) async throws {
        try await self.lastingly {
            guard try await self.isStillAdmitted() else { return }
            try await self.tenant.follow(number, after: after, turn: turn, keepalive: keepalive) { batch in
                guard try await self.isStillAdmitted() else { return false }
                return try await body(batch)
            }
        }
    }

    // MARK: - Path

    /// The name that the pattern's `{parameter}` matched. Throws 400 `invalid_id`.
    func name<Kind>(_ parameter: String, _: Name<Kind>.Type = Name<Kind>.self) throws(APIError) -> Name<Kind> {
        do throws(InvalidName) {
            return try Name(self.request.parameters[parameter] ?? "")
        } catch {
            throw APIError(400, "invalid_id", error.description, param: parameter)
        }
    }

    /// The identity that the pattern's `{parameter}` matched; what is no UUID names nothing.
    func id<Kind>(_ parameter: String, _: UniqueID<Kind>.Type = UniqueID<Kind>.self) throws(APIError)
        -> UniqueID<Kind>
    {
        guard let id = UniqueID<Kind>(self.request.parameters[parameter] ?? "") else {
            throw APIError(404, "not_found", "no such \(parameter)")
        }
        return id
    }

    // MARK: - Query

    /// The query's values. A parameter that is not among `known`, or that occurs twice, is refused: it would be ignored
    /// in silence.
    func query(_ known: String...) throws(APIError) -> QueryValues {
        try QueryValues(self.request, known: known)
    }

    // MARK: - Body

    /// The body as JSON. Throws 415 for another content type and 400 for what is no acceptable JSON.
    func json() throws -> JSONValue {
        try JSONBody.read(self.request)
    }

    /// For requests that say everything in their path: no body, or an empty object.
    func refuseBody() throws {
        guard !self.request.body.isEmpty else { return }
        _ = try JSONMembers(self.json(), known: [])
    }
}

/// The values of a query, each once.
struct QueryValues: Sendable {
    private var values: [String: String] = [:]

    init(_ request: Request, known: [String]) throws(APIError) {
        for (name, value) in request.query {
            guard known.contains(name) else {
                throw APIError(400, "invalid_request", "this route has no such query parameter", param: name)
            }
            guard self.values.updateValue(value, forKey: name) == nil else { throw .invalid(name, "occurs twice") }
        }
    }

    subscript(name: String) -> String? { self.values[name] }

    /// A whole number within `range`; nil when it is not there.
    func integer(_ name: String, in range: ClosedRange<Int64>) throws(APIError) -> Int64? {
        guard let text = self.values[name] else { return nil }
        return try Self.integer(text, of: name, in: range)
    }

    /// `text` as a whole number within `range`, digits only.
    static func integer(_ text: String, of name: String, in range: ClosedRange<Int64>) throws(APIError) -> Int64 {
        let isNumber = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isNumber, let value = Int64(text), range.contains(value) else {
            let bounds =
                range.upperBound == .max
                ? "of at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
            throw .invalid(name, "must be a whole number \(bounds)")
        }
        return value
    }
}

/// The body of a request as JSON.
enum JSONBody {
    static func read(_ request: Request) throws -> JSONValue {
        guard !request.body.isEmpty else { throw APIError(400, "invalid_json", "the body is empty") }
        guard self.isJSON(request.headers.all("Content-Type")) else {
            throw APIError(
                415,
                "unsupported_media_type",
                "the body must have the content type application/json",
                param: "Content-Type"
            )
        }
        return try JSONReader.read(request.body)
    }

    /// `application/json`, with no character set but UTF-8 (RFC 8259 section 8.1).
    static func isJSON(_ types: [String]) -> Bool {
        guard types.count == 1, let type = types.first else { return false }
        let parts = type.lowercased().split(separator: ";", omittingEmptySubsequences: false).map { part in
            part.filter { $0 != " " && $0 != "\t" && $0 != "\"" }
        }
        guard parts.first == "application/json" else { return false }
        return parts.dropFirst().allSatisfy { !$0.hasPrefix("charset=") || $0 == "charset=utf-8" }
    }
}

/// The members of a JSON object.
struct JSONMembers: Sendable {
    private let members: [String: JSONValue]

    /// Throws 400 for what is no object and for a member that is not among `known`.
    init(_ value: JSONValue, known: [String]) throws(APIError) {
        try self.init(ofDialect: value)
        for name in self.members.keys.sorted() where !known.contains(name) {
            throw .invalid(name, "is no member of this request")
        }
    }

    /// A body of the OpenAI dialect, whose clients send members that nobody here reads. Throws 400 for what is no object.
    init(ofDialect value: JSONValue) throws(APIError) {
        guard case .object(let members) = value else {
            throw APIError(400, "invalid_request", "the body must be a JSON object")
        }
        self.members = members
    }

    /// The member; nil when it is not there or null.
    subscript(name: String) -> JSONValue? {
        guard let value = self.members[name], value != .null else { return nil }
        return value
    }

    /// A string; nil when it is not there.
    func text(_ name: String) throws(APIError) -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.text else { throw .invalid(name, "must be a string") }
        return text
    }

    /// True or false; nil when it is not there.
    func flag(_ name: String) throws(APIError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard let flag = value.flag else { throw .invalid(name, "must be true or false") }
        return flag
    }

    /// A whole number within `range`, `60.0` too; nil when it is not there.
    func integer(_ name: String, in range: ClosedRange<Int64>) throws(APIError) -> Int64? {
        guard let value = self[name] else { return nil }
        var whole = value.integer
        if case .number(let fraction) = value { whole = Int64(exactly: fraction) }
        guard let number = whole, range.contains(number) else {
            throw .invalid(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
