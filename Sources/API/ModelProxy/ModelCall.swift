import Domain
import HTTP

/// A call to a model as a worker makes it, checked.
struct ModelCall: Sendable {
    /// What can be asked for.
    struct Route: Sendable, Hashable {
        let method: String
        /// The path, here and after the upstream's URL without `/v1`.
        let path: String
        /// Whether its answer says which backend serves the conversation: not one that other models give, or none.
        let tellsBackend: Bool

        static let all = [
            Route(method: "POST", path: "/chat/completions", tellsBackend: true),
            Route(method: "POST", path: "/responses", tellsBackend: true),
            Route(method: "POST", path: "/messages", tellsBackend: true),
            Route(method: "POST", path: "/embeddings", tellsBackend: false),
            Route(method: "GET", path: "/models", tellsBackend: false),
        ]
    }

    let route: Route
    /// The model that is asked; nil for a call that asks none.
    let model: String?
    /// The name under which the backend keeps what it knows, where the call gives one.
    let cacheKey: String?
    private let request: Request

    init(_ route: Route, _ request: Request) throws {
        self.route = route
        self.request = request
        guard route.method == "POST" else {
            (self.model, self.cacheKey) = (nil, nil)
            return
        }
        let members = try TopMembers(request.body[...])
        guard let model = members["model"]?.text else { throw APIError.invalid("model", "must be a string") }
        self.model = model
        self.cacheKey = members["prompt_cache_key"]?.text.map { String($0.prefix(200)) }
    }

    var bytes: Int { self.request.body.count }

    /// What goes to the upstream: of the worker's header lines only what is about the call itself, and not its token.
    func forwarded(to upstream: Upstream, key: Secret?, hint: BackendID?) -> UpstreamRequest {
        var headers: Headers = ["User-Agent": "turnpike"]
        for name in ["Accept", "Content-Type", "Idempotency-Key", "OpenAI-Beta", "anthropic-version", "anthropic-beta"]
        {
            if let value = self.request.headers[name] { headers.add(name, value) }
        }
        if let hint { headers.set(upstream.hintHeader, hint.text) }
        if let key {
            switch upstream.keyHeader {
            case .bearer: headers.set("Authorization", "Bearer \(key.revealed)")
            case .apiKey: headers.set("x-api-key", key.revealed)
            }
        }
        var forwarded = UpstreamRequest(
            method: self.route.method,
            url: upstream.url + self.route.path,
            headers: headers,
            body: self.route.method == "POST" ? self.request.body : nil
        )
        forwarded.certificates = upstream.certificates
        return forwarded
    }

    /// What the worker is told of an answer's head: what its client may act upon.
    static func passed(_ headers: Headers) -> Headers {
        var passed = Headers()
        for (name, value) in headers.lines {
            let known = name.lowercased()
            if known == "x-request-id" || known == "request-id" {
                passed.set("X-Upstream-Request-Id", value)
            } else if Self.names.contains(known) || Self.families.contains(where: { known.hasPrefix($0) }) {
                passed.add(name, value)
            }
        }
        return passed
    }

    private static let names: Set<String> = [
        "content-type", "content-encoding", "cache-control", "retry-after", "retry-after-ms", "x-should-retry",
    ]
    private static let families = ["x-ratelimit-", "anthropic-ratelimit-", "openai-processing-", "openai-version"]
}
