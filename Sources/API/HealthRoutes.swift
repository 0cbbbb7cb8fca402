import HTTP
import Runtime

/// Probes and metrics: what needs no token, and shows no organization's data.
struct HealthRoutes: Sendable {
    let version: String
    let metrics: Metrics
    /// Why this replica should get no traffic; nil when it should.
    let readiness: @Sendable () async -> String?

    /// `GET /livez`: the process answers. Says nothing about PostgreSQL: restarting this process does not repair that.
    func live(_ request: Request) async throws -> Response {
        .json(
            JSONWriter.object { json in
                json.member("status", "live")
                json.member("version", self.version)
            }
        )
    }

    /// `GET /readyz`: whether a balancer should send traffic here; 503 with the reason when not.
    func ready(_ request: Request) async throws -> Response {
        if let reason = await self.readiness() {
            throw APIError(503, "not_ready", reason)
        }
        return .json(JSONWriter.object { $0.member("status", "ready") })
    }

    /// `GET /metrics`: Prometheus text. Labels never name an organization, so it needs no token; keep it from the outside
    /// at the balancer where even figures are private.
    func scrape(_ request: Request) async throws -> Response {
        Response(text: self.metrics.render(), type: "text/plain; version=0.0.4; charset=utf-8")
    }
}
