import HTTP

/// Which pages of other origins may call the API from a browser (CORS, as the Fetch standard has it). None unless an
/// operator names them.
///
/// Origins are compared as a whole and never by a wildcard. Credentials are never allowed: such a page shows a token of
/// its own, and the cookie of a web session stays with the gateway's page (`Credential`).
package struct CrossOrigin: Sendable {
    /// What a script may read beside the few fields that it always may.
    private static let exposed = [
        Dialect.conversationHeader, "X-Request-Id", "Location", "Retry-After", "x-should-retry", "Allow",
        "WWW-Authenticate",
    ].joined(separator: ", ")
    /// How long a browser may remember the answer to its question, in seconds.
    private static let memory = "600"

    private let origins: Set<String>

    /// Lets in pages of `origins`, each a scheme and a host as browsers write them: `https://chat.example.org`.
    package init(_ origins: [String] = []) {
        self.origins = Set(origins)
    }

    /// `response` with what the page that sent `request` may know of it. Once any origin is allowed, every response says
    /// that it depends on the origin, so that no cache gives one page another's.
    func finish(_ response: Response, _ request: Request) -> Response {
        guard !self.origins.isEmpty else { return response }
        var response = response
        response.headers.add("Vary", "Origin")
        let given = request.headers.all("Origin")
        guard given.count == 1, let origin = given.first, self.origins.contains(origin) else { return response }
        response.headers.set("Access-Control-Allow-Origin", origin)
        if request.method == "OPTIONS", request.headers["Access-Control-Request-Method"] != nil {
            self.allow(&response, request)
        } else {
            response.headers.set("Access-Control-Expose-Headers", Self.exposed)
        }
        return response
    }

    /// Answers a browser that asks before it sends: the methods of the path, and whatever fields the page wants to send,
    /// since what they may do is decided when they come.
    private func allow(_ response: inout Response, _ request: Request) {
        guard let methods = response.headers["Allow"] else { return }
        response.headers.set("Access-Control-Allow-Methods", methods)
        response.headers.set("Access-Control-Max-Age", Self.memory)
        response.headers.add("Vary", "Access-Control-Request-Headers")
        if let fields = request.headers["Access-Control-Request-Headers"], !fields.isEmpty {
            response.headers.set("Access-Control-Allow-Headers", fields)
        }
    }
}
