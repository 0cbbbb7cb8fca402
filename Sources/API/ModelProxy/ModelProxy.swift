package import Domain
package import Gateway
package import HTTP
package import Runtime

/// The models that workers ask, on a listener of their own: it takes their tokens and no others, sends a call on with the
/// gateway's key, and passes the answer on as it comes.
///
/// A call is read whole before it is sent, since its model is looked at; an answer is not.
package struct ModelProxy: Sendable {
    /// An upstream with the key that only the gateway has.
    package struct Keyed: Sendable {
        /// Where it is.
        package let upstream: Upstream
        /// Nil where none is needed.
        package let key: Secret?

        package init(_ upstream: Upstream, key: Secret?) {
            self.upstream = upstream
            self.key = key
        }
    }

    private let desk: ModelDesk
    private let upstreams: [String: Keyed]
    private let client: UpstreamClient
    private let limits: Limits
    private let observer: Observer

    /// `upstreams` by their names.
    package init(
        gateway: Gateway,
        upstreams: [String: Keyed],
        client: UpstreamClient,
        log: Logger,
        metrics: Metrics
    ) {
        self.desk = gateway.models
        self.upstreams = upstreams
        self.client = client
        self.limits = gateway.configuration.limits
        self.observer = Observer(log: log, metrics: metrics)
    }

    /// Every route, ready to be served.
    package func router() -> Router {
        var router = Router()
        for route in ModelCall.Route.all {
            let limit = self.limits.modelBodyBytes
            router.on(route.method, "/v1\(route.path)", limit: limit, doorkeeper: self.mustBeKnown) { request in
                await self.serve(route, request)
            }
        }
        return router
    }

    /// The response of an error that no route answered. Never blocks.
    package func renderError(_ error: any Error, _ request: Request?) -> Response {
        let refusal = Self.refusal(error)
        self.observer.refused(refusal, request)
        return refusal.response(requestID: request?.id)
    }

    private func serve(_ route: ModelCall.Route, _ request: Request) async -> Response {
        let began = ContinuousClock.now
        var visit = Visit(method: request.method, route: "model \(route.path)", requestID: request.id)
        do {
            let turn = try await self.admit(request)
            visit.org = turn.org?.text
            let response = try await self.answer(ModelCall(route, request), turn)
            return self.observer.answered(visit, response, since: began)
        } catch {
            let refusal = Self.refusal(error)
            self.observer.failed(visit, refusal, isGone: error is CancellationError, since: began)
            return refusal.response(requestID: request.id)
        }
    }

    /// The running turn in whose name the request comes, by the token and by the database.
    private func admit(_ request: Request) async throws -> ModelTurn {
        guard let turn = Self.token(request).flatMap({ self.desk.turn(bearing: $0) }), try await turn.isRunning() else {
            throw ModelRefusal.over
        }
        return turn
    }

    /// A body that comes without a running turn's token is not read; what the database says of the turn is asked later.
    private func mustBeKnown(_ request: Request) throws {
        guard Self.token(request).flatMap({ self.desk.turn(bearing: $0) }) != nil else { throw ModelRefusal.over }
    }

    /// The token, wherever the clients of the two dialects put it.
    private static func token(_ request: Request) -> String? {
        let given = request.headers.all("Authorization") + request.headers.all("x-api-key")
        guard given.count == 1, let text = given.first else { return nil }
        return text.lowercased().hasPrefix("bearer ") ? String(text.dropFirst("bearer ".count)) : text
    }

    private func answer(_ call: ModelCall, _ turn: ModelTurn) async throws -> Response {
        guard let keyed = self.upstreams[turn.access.upstream], keyed.upstream.serves(turn.org) else {
            let message = "the organization has no upstream \(turn.access.upstream) on this replica"
            throw APIError(403, "no_upstream", message)
        }
        if let model = call.model, !turn.access.allows(model) {
            throw APIError(403, "model_not_allowed", "the agent may not use this model", param: "model")
        }
        try await turn.begin(bytes: call.bytes)
        let answer: UpstreamResponse
        do {
            answer = try await self.client.send(self.request(call, turn, keyed))
            if Self.isFull(answer.status), call.route.tellsBackend { turn.foundNoRoom() }
            try Self.check(answer)
        } catch {
            if (error as? UpstreamError)?.code == .late, call.route.tellsBackend { turn.foundNoRoom() }
            turn.end(tokens: 0)
            throw turn.over.isRaised ? ModelRefusal.over : error
        }
        let recheck = self.limits.modelRecheck
        return ModelExchange(call, turn, answer, backend: keyed.upstream.backend, recheck: recheck).response
    }

    private func request(_ call: ModelCall, _ turn: ModelTurn, _ keyed: Keyed) -> UpstreamRequest {
        let hint = call.route.tellsBackend ? turn.hint : nil
        var request = call.forwarded(to: keyed.upstream, key: keyed.key, hint: hint)
        request.connectTime = self.limits.modelConnect
        request.headTime = self.limits.modelFirstByte
        request.silence = self.limits.modelSilence
        request.stop = turn.over
        return request
    }

    /// Whether this is the answer of a backend that has no room, or of none.
    private static func isFull(_ status: Int) -> Bool {
        [429, 502, 503, 504, 529].contains(status)
    }

    /// Refuses answers that are about the gateway and not about the call: the worker has nothing to do with where the
    /// upstream would rather be asked, nor with its key, which some of them repeat.
    private static func check(_ answer: UpstreamResponse) throws {
        switch answer.status {
        case 200..<300, 400, 402...406, 408...599: return
        case 401, 407:
            answer.cancel()
            throw APIError(502, "upstream_key_refused", "the upstream does not take the gateway's key")
        default:
            answer.cancel()
            throw APIError(502, "upstream_broken", "the upstream answers with status \(answer.status)")
        }
    }

    /// What `error` is to a worker.
    static func refusal(_ error: any Error) -> APIError {
        switch error {
        case ModelRefusal.over: return APIError(401, "invalid_token", "the token is no running turn's")
        case ModelRefusal.busy(let limit):
            return APIError(429, "too_many_calls", "\(limit) calls of this turn are open already")
        case ModelRefusal.spent(let what):
            var refusal = APIError(429, "budget_spent", "the turn has used up its \(what.rawValue)")
            refusal.headers = ["x-should-retry": "false"]
            return refusal
        case let error as UpstreamError:
            guard error.code != .cancelled else { return APIError(CancellationError()) }
            let status = error.code == .late ? 504 : 502
            var refusal = APIError(status, "upstream_\(error.code.rawValue)", "the upstream: \(error.message)")
            refusal.cause = error
            return refusal
        default: return APIError(error)
        }
    }
}
