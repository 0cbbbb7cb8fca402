import Domain
package import Gateway
package import HTTP
package import Runtime

/// The north side: what clients speak. Routes and their scopes are in `Routes.swift`, on one screen.
package struct API: Sendable {
    let gate: Gate
    let turns: TurnRoutes
    let events: EventRoutes
    let conversations = ConversationRoutes()
    let snapshots = SnapshotRoutes()
    let approvals = ApprovalRoutes()
    let approvalRules = ApprovalRuleRoutes()
    let agents = AgentRoutes()
    let models = ModelRoutes()
    let chat: ChatRoutes
    let responses: ResponseRoutes
    let threads = ThreadRoutes()
    let tokens = TokenRoutes()
    let accounts = AccountRoutes()
    let quotas = QuotaRoutes()
    let schedules = ScheduleRoutes()
    let remote = RemoteRoutes()
    let imports = ImportRoutes()
    let sessions = SessionRoutes()
    let audit = AuditRoutes()
    let operators = OperatorRoutes()
    let health: HealthRoutes
    let observer: Observer
    private(set) var document = OpenAPIDocument()
    private let crossOrigin: CrossOrigin
    private let bodyLimit: Int
    private let dialectBodyLimit: Int

    /// The API of `gateway`; `version` is what `/livez` says, `crossOrigin` who else's pages may call it, `provider` whose
    /// tokens are believed beside the gateway's own.
    package init(
        gateway: Gateway,
        log: Logger,
        metrics: Metrics,
        version: String,
        crossOrigin: CrossOrigin = CrossOrigin(),
        provider: IdentityProvider? = nil
    ) {
        let limits = gateway.configuration.limits
        let departure = Departure(log: log)
        let stream = EventFollower(keepalive: limits.streamKeepalive, departure: departure)
        self.gate = Gate(gateway, provider: provider)
        self.turns = TurnRoutes(follower: stream)
        self.events = EventRoutes(follower: stream)
        let dialect = DialectFollower(keepalive: limits.streamKeepalive, departure: departure)
        self.chat = ChatRoutes(follower: dialect, inputBytes: limits.turnBodyBytes)
        self.responses = ResponseRoutes(follower: dialect, inputBytes: limits.turnBodyBytes)
        self.health = HealthRoutes(version: version, metrics: metrics, readiness: { await gateway.readiness() })
        self.observer = Observer(log: log, metrics: metrics)
        self.crossOrigin = crossOrigin
        self.bodyLimit = limits.turnBodyBytes
        self.dialectBodyLimit = limits.dialectBodyBytes
        self.document = OpenAPIDocument(self.routes, version: version)
    }

    /// Every route, ready to be served.
    package func router() -> Router {
        var router = Router()
        router.finish = self.crossOrigin.finish
        for route in self.routes {
            let limit = route.carriesHistory ? self.dialectBodyLimit : self.bodyLimit
            router.on(route.method, route.pattern, limit: limit, doorkeeper: route.doorkeeper) {
                await self.serve(route, $0)
            }
        }
        return router
    }

    /// The response of an error that no route answered: the parser's, an unknown path, a method that is not offered.
    /// Never blocks.
    package func renderError(_ error: any Error, _ request: Request?) -> Response {
        let refusal = APIError(error)
        self.observer.refused(refusal, request)
        return refusal.response(requestID: request?.id)
    }

    private func serve(_ route: Route, _ request: Request) async -> Response {
        let began = ContinuousClock.now
        var visit = Visit(method: request.method, route: route.pattern, requestID: request.id)
        do {
            try Credential.refuseInURL(request)
            let response: Response
            switch route.action {
            case .open(let action):
                response = try await action(request)
            case .scoped(let scope, let action):
                let call = try await self.gate.admit(request, scope: scope)
                visit.org = call.principal.org.text
                response = try await action(call)
            case .workers(let action):
                let call = try await self.gate.admitWorker(request)
                visit.org = call.principal.org.text
                response = try await action(call)
            case .operators(let action):
                let call = try await self.gate.admitOperator(request)
                visit.org = call.principal.org.text
                response = try await action(call)
            case .either(let scope, let action, let operatorAction):
                switch try await self.gate.admitEither(request, scope: scope) {
                case .tenant(let call):
                    visit.org = call.principal.org.text
                    response = try await action(call)
                case .operators(let call):
                    visit.org = call.principal.org.text
                    response = try await operatorAction(call)
                }
            }
            return self.observer.answered(visit, response, since: began)
        } catch {
            let refusal = route.carriesHistory ? Dialect.refusal(error, request) : APIError(error)
            self.observer.failed(visit, refusal, isGone: error is CancellationError, since: began)
            return refusal.response(requestID: request.id)
        }
    }
}
