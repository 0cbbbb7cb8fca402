import Domain
import Gateway
import HTTP

/// Standing rules for workers' questions.
struct ApprovalRuleRoutes: Sendable {
    /// `GET /v1/approval-rules?after=&limit=`: the oldest first, in pages.
    func list(_ call: Call) async throws -> Response {
        let query = try call.query("after", "limit")
        let limit = Int(try query.integer("limit", in: 1...1_000) ?? 100)
        var after: ApprovalRuleID?
        if let text = query["after"] {
            after = ApprovalRuleID(text)
            guard after != nil else { throw APIError.invalid("after", "must be the id of a rule") }
        }
        let rules = try await call.tenant.approvalRules(after: after, limit: limit)
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("rules", objects: rules) { $0.members(of: $1) }
                json.member("next", rules.count == limit ? rules.last?.id.text : nil)
            }
        )
    }

    /// `POST /v1/approval-rules` with `{effect, tool, agent?, arguments?, reason?}`: for questions from now on.
    func create(_ call: Call) async throws -> Response {
        _ = try call.query()
        let body = try ApprovalRuleBody(call.json())
        let rule = try await call.tenant.makeApprovalRule(
            agent: body.agent,
            tool: body.tool,
            arguments: body.arguments,
            effect: body.effect,
            reason: body.reason,
            by: call.principal.token
        )
        return .json(JSONWriter.object { $0.member("rule") { $0.members(of: rule) } }, status: 201)
    }

    /// `DELETE /v1/approval-rules/{rule}`
    func delete(_ call: Call) async throws -> Response {
        let id = try call.id("rule", ApprovalRuleID.self)
        _ = try call.query()
        try await call.tenant.deleteApprovalRule(id)
        return Response(status: 204)
    }
}

/// The body of `POST /v1/approval-rules`.
struct ApprovalRuleBody: Hashable, Sendable {
    var effect: ApprovalEffect
    var tool: String
    /// Nil for every agent of the organization.
    var agent: AgentID?
    /// Nil for any.
    var arguments: JSONValue?
    var reason: String?

    /// Checks every member. Throws 400 with the member's path.
    init(_ json: JSONValue) throws {
        let members = try JSONMembers(json, known: ["effect", "tool", "agent", "arguments", "reason"])
        guard let effect = try members.text("effect").flatMap(ApprovalEffect.init(rawValue:)) else {
            let known = ApprovalEffect.allCases.map(\.rawValue).joined(separator: ", ")
            throw APIError.invalid("effect", "must be one of \(known)")
        }
        self.effect = effect
        guard let tool = try members.text("tool"), (1...1_000).contains(tool.unicodeScalars.count),
            !tool.utf8.contains(0)
        else { throw APIError.invalid("tool", "must be 1 to 1000 characters, none of them NUL; * stands for any text") }
        self.tool = tool
        if let agent = try members.text("agent") {
            do throws(InvalidName) {
                self.agent = try AgentID(agent)
            } catch {
                throw APIError.invalid("agent", "is no name: \(error.description)")
            }
        }
        if let arguments = members["arguments"] {
            guard case .object = arguments else { throw APIError.invalid("arguments", "must be an object") }
            self.arguments = arguments
        }
        self.reason = try members.text("reason")
        if let reason { try ApprovalRoutes.check(reason) }
    }
}
