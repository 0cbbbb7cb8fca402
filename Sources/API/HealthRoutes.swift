import HTTP
import Runtime

/// Probes, metrics and the front page: what needs no token, and shows no organization's data.
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

    /// `GET /`: what this is and where to go on, for people.
    func frontPage(_ request: Request) async throws -> Response {
        let headers: Headers = [
            "Content-Security-Policy":
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        ]
        return Response(headers: headers, text: FrontPage.html(version: self.version), type: "text/html; charset=utf-8")
    }
}

/// The front page: text only, no script, no style.
enum FrontPage {
    static func html(version: String) -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Turnpike</title>
        </head>
        <body>
        <h1>Turnpike \(self.escaped(version))</h1>
        <p>A gateway between clients and agent workers: turns go in, supervised workers answer them, every turn gets
        exactly one outcome, on any number of replicas.</p>
        <h2>Send a turn</h2>
        <pre>curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
            -d '{"input":"hello"}' \\
            http://HOST/v1/agents/default/conversations/first/turns</pre>
        <h2>Follow the conversation</h2>
        <pre>curl -N -H "Authorization: Bearer $TOKEN" \\
            http://HOST/v1/agents/default/conversations/first/events</pre>
        <p>Tokens come from <code>turnpike token create</code>; <code>turnpike dev</code> prints one. The documents are
        README.md and ARCHITECTURE.md of the source tree, and <code>turnpike help</code>.</p>
        <p>Probes: <a href="/livez">/livez</a>, <a href="/readyz">/readyz</a>. Metrics:
        <a href="/metrics">/metrics</a>.</p>
        </body>
        </html>

        """
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { html, character in
            switch character {
            case "&": html += "&amp;"
            case "<": html += "&lt;"
            case ">": html += "&gt;"
            default: html.append(character)
            }
        }
    }
}
