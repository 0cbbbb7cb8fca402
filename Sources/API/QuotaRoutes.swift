import Domain
import Gateway
import HTTP

/// How many turns may be without an outcome: an organization's own caps are its administrators' to set, the ceilings above
/// them its operators'.
struct QuotaRoutes: Sendable {
    /// `GET /v1/quotas`
    func show(_ call: Call) async throws -> Response {
        _ = try call.query()
        return Self.response(try await call.tenant.quota())
    }

    /// `PUT /v1/quotas`: all own caps at once; what is left out has the ceiling alone.
    func put(_ call: Call) async throws -> Response {
        _ = try call.query()
        return Self.response(try await call.tenant.set(Self.quota(call.json())))
    }

    /// `GET /v1/organizations/{org}/quotas`
    func showAny(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        return Self.response(try await call.quota(of: Self.organization(call)))
    }

    /// `PUT /v1/organizations/{org}/quotas`: all ceilings at once.
    func putAny(_ call: OperatorCall) async throws -> Response {
        _ = try QueryValues(call.request, known: [])
        let org = try Self.organization(call)
        return Self.response(try await call.setCeiling(Self.quota(JSONBody.read(call.request)), of: org))
    }

    private static func organization(_ call: OperatorCall) throws(APIError) -> OrganizationID {
        do throws(InvalidName) {
            return try OrganizationID(call.request.parameters["org"] ?? "")
        } catch {
            throw APIError(400, "invalid_id", error.description, param: "org")
        }
    }

    private static func quota(_ json: JSONValue) throws(APIError) -> Quota {
        let members = try JSONMembers(json, known: QuotaCap.allCases.map(\.rawValue))
        func cap(_ cap: QuotaCap) throws(APIError) -> Int? {
            try members.integer(cap.rawValue, in: 0...Int64(Quota.largest)).map(Int.init)
        }
        return Quota(
            organizationTurns: try cap(.organizationTurns),
            tokenTurns: try cap(.tokenTurns),
            conversationTurns: try cap(.conversationTurns)
        )
    }

    private static func response(_ record: QuotaRecord) -> Response {
        .json(
            JSONWriter.object { json in
                for (name, caps) in [("quota", record.quota), ("own", record.own), ("ceiling", record.ceiling)] {
                    json.member(name) { json in
                        for cap in QuotaCap.allCases { json.member(cap.rawValue, number: caps[cap]) }
                    }
                }
                json.member("open_turns", record.openTurns)
            }
        )
    }
}
