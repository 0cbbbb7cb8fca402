import Domain
import HTTP

/// `GET /openapi.json`: every route and every schema (OpenAPI 3.1), made from the table of routes.
struct OpenAPIDocument: Sendable {
    private let text: [UInt8]

    /// One that says nothing, until the routes are known.
    init() {
        self.text = []
    }

    init(_ routes: [Route], version: String) {
        var paths: [String: [String: JSONValue]] = [:]
        for route in routes {
            guard let operation = Operation.all[route.identity] else { continue }
            paths[route.pattern, default: [:]][route.method.lowercased()] = operation.json(
                method: route.method,
                pattern: route.pattern,
                scope: route.scopeName
            )
        }
        self.text = JSONWriter.text([
            "openapi": "3.1.0",
            "info": ["title": "Turnpike", "version": .string(version)],
            "paths": .object(paths.mapValues { .object($0) }),
            "components": [
                "schemas": .object(Components.all),
                "securitySchemes": ["bearer": ["type": "http", "scheme": "bearer"]],
            ],
        ])
    }

    func show(_ request: Request) async throws -> Response {
        _ = try QueryValues(request, known: [])
        return .json(self.text)
    }
}

extension Route {
    /// By which the document knows it.
    var identity: String { "\(self.method) \(self.pattern)" }

    /// What the token of its callers must be; nil where anybody may ask.
    var scopeName: String? {
        if case .workers = self.action { "worker (that of an account)" } else { self.scope?.rawValue }
    }

    /// The scope that its callers need; nil where none will do.
    var scope: Scope? {
        switch self.action {
        case .open, .workers: nil
        case .scoped(let scope, _), .either(let scope, _, _): scope
        case .operators: .operator
        }
    }
}
