import HTTP
import Runtime

/// What is told about a request.
struct Visit: Sendable {
    let method: String
    /// The route's pattern: a closed set, unlike paths.
    let route: String
    let requestID: String
    /// Known once the request has been let in.
    var org: String?
}

/// Writes one log line for each request and counts it.
struct Observer: Sendable {
    /// What the log and the metrics say when the client left before the answer, which nobody received.
    private static let clientGone = 499

    let log: Logger
    let metrics: Metrics

    /// A response is ready; a stream is told about once it has ended.
    func answered(_ visit: Visit, _ response: Response, since began: ContinuousClock.Instant) -> Response {
        guard case .stream(let body) = response.body, visit.method != "HEAD" else {
            let time = ContinuousClock.now - began
            self.tell(visit, status: response.status, time)
            self.observe(visit, time)
            return response
        }
        var response = response
        let status = response.status
        response.body = .stream { writer in
            defer { self.tell(visit, status: status, ContinuousClock.now - began) }
            try await body(writer)
        }
        return response
    }

    /// A request was refused, or failed.
    func failed(_ visit: Visit, _ error: APIError, isGone: Bool, since began: ContinuousClock.Instant) {
        let time = ContinuousClock.now - began
        self.tell(visit, status: isGone ? Self.clientGone : error.status, time)
        self.observe(visit, time)
        self.explain(error, requestID: visit.requestID)
    }

    /// A request was refused before it reached a route.
    func refused(_ error: APIError, _ request: Request?) {
        let visit = Visit(method: request?.method ?? "none", route: "none", requestID: request?.id ?? "")
        self.tell(visit, status: error.status, .zero)
        self.explain(error, requestID: visit.requestID)
    }

    private func tell(_ visit: Visit, status: Int, _ time: Duration) {
        let (seconds, attoseconds) = time.components
        self.log.info(
            "request",
            [
                "method": .text(visit.method),
                "route": .text(visit.route),
                "status": .count(status),
                "ms": .number(seconds * 1_000 + attoseconds / 1_000_000_000_000_000),
                "request_id": .text(visit.requestID),
                "org": .text(visit.org ?? ""),
            ]
        )
        self.metrics.count(
            "turnpike_http_requests_total",
            "Requests answered.",
            labels: ["method": Self.label(visit.method), "route": visit.route, "status": String(status)]
        )
    }

    private func observe(_ visit: Visit, _ time: Duration) {
        self.metrics.observe(
            "turnpike_http_request_seconds",
            "From the whole request to its response; streams are not in it.",
            labels: ["method": Self.label(visit.method), "route": visit.route],
            time
        )
    }

    /// The one place where a failure's cause is logged.
    private func explain(_ error: APIError, requestID: String) {
        guard let cause = error.cause else { return }
        let fields: KeyValuePairs<String, LogValue> = ["request_id": .text(requestID), "error": .error(cause)]
        if error.status == 500 {
            self.log.error("request failed", fields)
        } else {
            self.log.warning("request refused", fields)
        }
    }

    /// Methods are the client's to invent; labels must stay few.
    private static func label(_ method: String) -> String {
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].contains(method) ? method : "other"
    }
}
