import Domain
import HTTP

/// The installation, for those who run it.
struct OperatorRoutes: Sendable {
    private static let usualPage: Int64 = 100
    private static let largestPage: Int64 = 1_000

    /// `GET /v1/replicas`
    func replicas(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        let replicas = try await call.replicas()
        return .json(
            JSONWriter.object { json in
                json.member("replicas", objects: replicas) { $0.members(of: $1) }
            }
        )
    }

    /// `GET /v1/workers`: those of the replica that answers.
    func workers(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        let (workers, circuits) = call.workers()
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("workers", objects: workers) { $0.members(of: $1) }
                json.member("circuits", objects: circuits) { $0.members(of: $1) }
            }
        )
    }

    /// `POST /v1/replicas/{replica}/drain`; `self` is the replica that answers. Answers at once; the record, asked for
    /// again, says when the replica is empty.
    func drain(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        if !call.request.body.isEmpty { _ = try JSONMembers(JSONBody.read(call.request), known: []) }
        let text = call.request.parameters["replica"] ?? ""
        let named = ReplicaID(text)
        guard named != nil || text == "self" else { throw APIError(404, "not_found", "no such replica") }
        let replica = try await call.drain(named)
        return .json(JSONWriter.object { json in json.member("replica") { $0.members(of: replica) } }, status: 202)
    }

    /// `GET /v1/dead-letters?limit=`: the newest first.
    func deadLetters(_ call: OperatorCall) async throws -> Response {
        let query = try QueryValues(call.request, known: ["limit"])
        let limit = Int(try query.integer("limit", in: 1...Self.largestPage) ?? Self.usualPage)
        let letters = try await call.deadLetters(limit: limit)
        return .json(
            JSONWriter.object { json in
                json.member("dead_letters", objects: letters) { $0.members(of: $1) }
            }
        )
    }

    /// `POST /v1/dead-letters/{turn}/redrive`: the same input as a new turn. Asked for again: 200 and the same turn.
    func redrive(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        if !call.request.body.isEmpty { _ = try JSONMembers(JSONBody.read(call.request), known: []) }
        guard let turn = TurnID(call.request.parameters["turn"] ?? "") else {
            throw APIError(404, "not_found", "no such dead letter")
        }
        let (letter, isRepeat) = try await call.redrive(turn)
        return .json(
            JSONWriter.object { json in json.member("dead_letter") { $0.members(of: letter) } },
            status: isRepeat ? 200 : 202
        )
    }

    /// `GET /v1/organizations?after=&limit=`: in the order of their names.
    func organizations(_ call: OperatorCall) async throws -> Response {
        let query = try QueryValues(call.request, known: ["after", "limit"])
        let limit = Int(try query.integer("limit", in: 1...Self.largestPage) ?? Self.usualPage)
        let after = try query["after"].map { text throws(APIError) in try Self.organization(text, "after") }
        let found = try await call.organizations(after: after?.text, limit: limit + 1)
        let page = Array(found.prefix(limit))
        return .json(
            JSONWriter.object { json in
                json.member("organizations", objects: page) { $0.member("id", $1) }
                json.member("next", found.count > limit ? page.last : nil)
            }
        )
    }

    /// `PUT /v1/organizations/{org}`: creates it if it is missing.
    func putOrganization(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        let org = try Self.organization(call.request.parameters["org"] ?? "", "org")
        if !call.request.body.isEmpty { _ = try JSONMembers(JSONBody.read(call.request), known: []) }
        try await call.ensureOrganization(org)
        return .json(JSONWriter.object { $0.member("id", org.text) })
    }

    private static func organization(_ text: String, _ param: String) throws(APIError) -> OrganizationID {
        do throws(InvalidName) {
            return try OrganizationID(text)
        } catch {
            throw APIError(400, "invalid_id", error.description, param: param)
        }
    }
}
