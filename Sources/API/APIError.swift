import Domain
import Gateway
import HTTP

/// A refusal as its client sees it.
struct APIError: Error, Sendable {
    /// The HTTP status.
    let status: Int
    /// What went wrong, for programs.
    let code: String
    /// What went wrong and what to do, for people. Never SQL, never a stack.
    let message: String
    /// The path of the member, the header or the parameter that is to blame.
    var param: String?
    /// Turns ahead, with `conversation_busy`: the place in the queue that the turn would have had.
    var position: Int?
    /// How long these may take, if that can be told.
    var wait: Duration?
    /// The option that won, with `already_decided`.
    var decision: String?
    var headers: Headers = [:]
    /// Whether this is a defect, or trouble that its operator should read about, rather than the client's mistake.
    var cause: (any Error)?

    init(_ status: Int, _ code: String, _ message: String, param: String? = nil) {
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        // A conflict is about something that was accepted before: sending the same again changes nothing.
        if status == 409 || status == 410 { self.headers.set("x-should-retry", "false") }
        if status == 503 || status == 429 { self.headers.set("Retry-After", "1") }
    }

    /// A member, header or parameter with a wrong value.
    static func invalid(_ param: String, _ problem: String) -> APIError {
        APIError(400, "invalid_request", "\(param) \(problem)", param: param)
    }

    /// The family of the error, as clients of chat services know it.
    var type: String {
        switch self.status {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 429: "rate_limit_error"
        case 500...: "api_error"
        default: "invalid_request_error"
        }
    }

    /// The one shape of every error, in an answer or in a stream.
    func body(requestID: String?) -> [UInt8] {
        JSONWriter.object { writer in
            writer.member("error") { error in
                error.member("type", self.type)
                error.member("code", self.code)
                error.member("message", self.message)
                error.member("param", self.param)
                if let position = self.position {
                    error.member("position", position)
                    error.member("wait_seconds", number: self.wait?.wholeSeconds)
                }
                if let decision = self.decision { error.member("decision", decision) }
                error.member("request_id", requestID)
            }
        }
    }

    func response(requestID: String?) -> Response {
        .json(self.body(requestID: requestID), status: self.status, headers: self.headers)
    }
}

extension APIError {
    /// What `error` is to a client. Only the cases that are nobody's mistake but ours keep their cause.
    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as GatewayError: self.init(error)
        case let error as HTTPError: self.init(error)
        case let error as JSONFailure: self.init(error)
        case let error as InvalidName: self.init(400, "invalid_id", error.description, param: error.kind.lowercased())
        case is CancellationError:
            self.init(503, "draining", "this replica is leaving; send the request again")
        default:
            self.init(500, "internal", "the gateway failed; its log has this request's id")
            self.cause = error
        }
    }

    private init(_ error: GatewayError) {
        switch error {
        case .notFound(let what): self.init(404, "not_found", "no such \(what)")
        case .deleted: self.init(410, "deleted", "the conversation was deleted; its name stays taken")
        case .startsElsewhere: self.init(409, "starts_elsewhere", "the agent is remote: there is nothing to start here")
        case .conversationExists: self.init(409, "conversation_exists", "there is a conversation of this name already")
        case .fenced: self.init(409, "fenced", "the turn is no longer this worker's; nothing was written")
        case .outputLimit(let bytes):
            self.init(413, "output_limit", "the turn may say \(bytes) bytes in all; it has failed, nothing was written")
        case .labelTaken:
            self.init(409, "label_taken", "the label is another account's; a label means one account", param: "label")
        case .idempotencyConflict(let turn):
            let first = turn.map { " (turn \($0.text))" } ?? ""
            self.init(409, "idempotency_conflict", "the client key was used before for another request\(first)")
        case .conversationBusy(let ahead, let wait):
            self.init(409, "conversation_busy", "\(ahead) \(ahead == 1 ? "turn is" : "turns are") ahead")
            (self.position, self.wait) = (ahead, wait)
        case .queueFull(let limit):
            self.init(429, "queue_full", "\(limit) turns are waiting in this conversation already")
        case .quotaReached(let cap, let limit):
            self.init(429, "quota_reached", Self.reached(cap, limit), param: cap.rawValue)
        case .limitReached(let what, let limit): self.init(409, "limit_reached", "\(what): at most \(limit)")
        case .alreadyEnded: self.init(409, "already_ended", "the turn has its outcome already")
        case .alreadyDecided(let decision):
            self.init(409, "already_decided", "somebody has decided otherwise: \(decision)")
            self.decision = decision
        case .approvalOver(let state): self.init(410, "expired", Self.over(state))
        case .lacksScope(let scope): self.init(403, "forbidden", "the token lacks the scope \(scope.rawValue)")
        case .outlives:
            self.init(403, "forbidden", "the token lasts longer than yours: rotate it with another, or revoke it")
        case .invalid(let member, let problem): self = .invalid(member, problem)
        case .agentNotConfigured(let agent):
            self.init(
                404,
                "agent_not_configured",
                "agent \(agent) is not configured; create it with PUT /v1/agents/\(agent)",
                param: "agent"
            )
        case .noWorkerPlace:
            self.init(503, "no_worker_place", "this replica or this agent has no place for one worker more; try again")
        case .unavailable:
            self.init(503, "unavailable", "the database is away; nothing was half-done, send the request again")
            self.cause = error
        case .acceptanceUnknown(let turn):
            self.init(
                503,
                "acceptance_unknown",
                "the database went away while the turn was accepted; ask for turn \(turn.text) before you send it again"
            )
            self.headers.set("x-should-retry", "false")
            self.cause = error
        case .draining: self.init(503, "draining", "this replica is leaving; send the request again")
        }
    }

    private static func reached(_ cap: QuotaCap, _ limit: Int) -> String {
        switch cap {
        case .organizationTurns: "the organization may have \(limit) turns without an outcome, and has them"
        case .tokenTurns: "the token may have \(limit) turns without an outcome, and has them"
        case .conversationTurns: "\(limit) turns may wait in a conversation, and do"
        }
    }

    private static func over(_ state: ApprovalState) -> String {
        state == .expired ? "nobody decided in time" : "the turn is over, so nobody waits for a decision"
    }

    private init(_ error: HTTPError) {
        self.init(error.status, error.code.rawValue, error.message)
        for line in error.headers.lines { self.headers.set(line.name, line.value) }
        if error.status == 500 { self.cause = error }
    }

    private init(_ failure: JSONFailure) {
        // A path is as long as its sender likes; its beginning tells enough.
        let path = failure.path.hasPrefix(".") ? failure.path.dropFirst() : failure.path[...]
        let param = path.count > 200 ? "\(path.prefix(200))…" : String(path)
        if failure.isMalformed {
            self.init(400, "invalid_json", "the body is no JSON: \(failure.problem)")
        } else if param.isEmpty {
            self.init(400, "invalid_request", "the body \(failure.problem)")
        } else {
            self = .invalid(param, failure.problem)
        }
    }
}

extension Response {
    /// JSON that no cache keeps and no browser takes for anything else.
    static func json(_ body: [UInt8], status: Int = 200, headers: Headers = [:]) -> Response {
        var headers = headers
        headers.set("Content-Type", "application/json")
        headers.set("Cache-Control", "no-store")
        headers.set("X-Content-Type-Options", "nosniff")
        return Response(status: status, headers: headers, body: .bytes(body))
    }
}
