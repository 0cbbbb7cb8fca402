import Domain

@testable import API

/// What a request of the matrix is about: something of the victim's, or something that nobody has.
enum Subject: String, CaseIterable {
    case foreign, missing
}

/// The requests of the matrix, made of the route table: a route that is added there is asked here.
struct CrossTenantCase: Sendable {
    let route: Route
    /// With `{placeholders}`.
    let body: String?
    /// What is answered when the subject is not the caller's; most often 404.
    let status: Int

    /// What the placeholders stand for: the victim's and nobody's. Of the first, `agent` and so on are in the victim's
    /// organization; the second are of the same form.
    typealias Names = [String: (foreign: String, missing: String)]

    /// Bodies that let a request come as far as its subject, for the routes that take one; several where a body can
    /// name several things. `own` is an agent of the caller's.
    private static let bodies: [String: [String]] = [
        "POST /v1/agents/{agent}/conversations/{conversation}/turns": [#"{"input":"x"}"#],
        "POST /v1/agents/{agent}/conversations/{conversation}/import": [#"{"turns":[{"input":"x","reply":"y"}]}"#],
        "POST /v1/accounts/{account}/tokens": [#"{"name":"x"}"#],
        "POST /v1/agents/{agent}/turns": [#"{"input":"x"}"#],
        "POST /v1/agents/{agent}/conversations/{conversation}/fork": [#"{"conversation":"copy"}"#],
        "POST /v1/approvals/{approval}": [#"{"decision":"allow"}"#],
        "POST /v1/tokens/{token}/rotate": [#"{"overlap_seconds":60}"#],
        "PUT /v1/agents/{agent}": [#"{"driver":"command","command":["cat"]}"#],
        "PUT /v1/schedules/{schedule}": [#"{"cron":"0 0 1 1 *","input":"x"}"#],
        "POST /v1/chat/completions": [#"{"model":"{agent}","messages":[{"role":"user","content":"x"}]}"#],
        "POST /v1/responses": [
            #"{"model":"{agent}","input":"x"}"#,
            #"{"model":"own","input":"x","conversation":"{thread}"}"#,
            #"{"model":"own","input":"x","previous_response_id":"{response}"}"#,
        ],
        "POST /v1/conversations/{conversation}": [#"{"metadata":{"a":"b"}}"#],
        "POST /v1/conversations/{conversation}/items": [#"{"items":[{"role":"user","content":"x"}]}"#],
    ]
    private static let queries = [
        "DELETE /v1/agents/{agent}/conversations/{conversation}/snapshots": "?keep_turns=1"
    ]
    /// What is not refused: an agent of the same name is another agent, and of no agent there is an empty list.
    private static let others = [
        "PUT /v1/agents/{agent}": 200, "PUT /v1/schedules/{schedule}": 200, "GET /v1/agents/{agent}/conversations": 200,
    ]

    static func all(_ routes: [Route]) -> [CrossTenantCase] {
        // What makes something of the name that is asked for comes last: then it is there.
        let routes = routes.filter { !$0.isOpen && $0.method != "PUT" } + routes.filter { $0.method == "PUT" }
        return routes.flatMap { route in
            let bodies: [String?] = self.bodies[route.identity] ?? [nil]
            return bodies.map { body in
                let isPrevious = body?.contains("previous_response_id") == true
                return CrossTenantCase(
                    route: route,
                    body: body,
                    status: isPrevious ? 400 : self.others[route.identity] ?? 404
                )
            }
        }
    }

    /// Placeholders of the path and the body, as they are called in `Names`.
    var placeholders: [String] {
        (self.pattern + (self.body ?? "")).matches(of: /{([a-z]+)}/).map { String($0.1) }
    }

    /// The path, in which a conversation of the OpenAI dialect is a thread.
    private var pattern: String {
        let path = self.route.pattern
        return path.hasPrefix("/v1/conversations/") ? path.replacing("{conversation}", with: "{thread}") : path
    }

    func target(_ subject: Subject, _ names: Names) -> String {
        Self.fill(self.pattern + (Self.queries[self.route.identity] ?? ""), subject, names)
    }

    func body(_ subject: Subject, _ names: Names) -> String? {
        self.body.map { Self.fill($0, subject, names) }
    }

    private static func fill(_ text: String, _ subject: Subject, _ names: Names) -> String {
        names.reduce(text) { text, name in
            text.replacing("{\(name.key)}", with: subject == .foreign ? name.value.foreign : name.value.missing)
        }
    }

    /// Whether somebody with these scopes may call the route.
    func admits(_ scopes: Set<Scope>) -> Bool {
        switch self.route.action {
        case .open: true
        case .workers: false
        case .scoped(let scope, _): scopes.contains(scope) || scopes.contains(.admin)
        case .either(let scope, _, _): scopes.contains(scope) || scopes.contains(.operator)
        case .operators: scopes.contains(.operator)
        }
    }

    /// Whether nobody's scope within an organization lets them call it: it is for operators, or for remote workers.
    var isForOperators: Bool {
        switch self.route.action {
        case .operators, .workers: true
        case .open, .scoped, .either: false
        }
    }
}
