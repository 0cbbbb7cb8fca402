/// Finds the handler of a method and a path.
///
/// A pattern is a path whose segments are literals or `{name}`, which matches any one non-empty segment. Where both match,
/// the literal goes first. HEAD is answered by GET without its body, OPTIONS by the list of methods.
package struct Router: Sendable {
    /// What answers a request. It runs on the global pool; its task is cancelled when the client leaves. An `HTTPError`
    /// that it throws becomes the response with that status, any other error a 500.
    package typealias Action = @Sendable (Request) async throws -> Response

    /// What looks at a request whose body is still to come, and throws what the client is told if it may not. It runs on
    /// the reactor and must not block.
    package typealias Doorkeeper = @Sendable (Request) throws -> Void

    /// A declared route, for those who check a document against it.
    package struct Declaration: Sendable, Hashable {
        /// The method.
        package let method: String
        /// The pattern as declared.
        package let pattern: String
    }

    /// A route with all that serving it takes.
    struct Route: Sendable {
        let method: String
        let pattern: String
        /// Names of the parameters by their segment's position.
        let names: [Int: String]
        let bodyLimit: Int?
        let doorkeeper: Doorkeeper?
        let action: Action
    }

    /// What became of a look-up.
    enum Outcome: Sendable {
        case route(Route, parameters: [String: String])
        /// OPTIONS without a route of its own.
        case options(allow: String)
        case notFound
        case methodNotAllowed(allow: String)
    }

    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: Int?
        var routes: [Route] = []
    }

    private var nodes = [Node()]

    /// Every declared route, in the order of declaration.
    package private(set) var routes: [Declaration] = []

    /// What becomes of every response to a request that could be read, before it is sent: errors and lists of methods too.
    package var finish: @Sendable (Response, Request) -> Response = { response, _ in response }

    /// A router that knows nothing.
    package init() {}

    /// Declares that `action` answers `method` on `pattern`. `bodyLimit` is the most bytes that a body may have, where
    /// the server's default does not fit; `doorkeeper` can refuse a request before its body is read. A pattern without a
    /// leading slash, or declared twice, is a programmer's error.
    package mutating func on(
        _ method: String,
        _ pattern: String,
        limit bodyLimit: Int? = nil,
        doorkeeper: Doorkeeper? = nil,
        _ action: @escaping Action
    ) {
        precondition(pattern.hasPrefix("/"), "a pattern starts with a slash: \(pattern)")
        var names: [Int: String] = [:]
        var node = 0
        let segments = pattern == "/" ? [] : pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for (position, segment) in segments.enumerated() {
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                names[position] = String(segment.dropFirst().dropLast())
                node = self.child(of: node, \.parameter)
            } else {
                node = self.child(of: node, \.literals[String(segment)])
            }
        }
        let isNew = !self.nodes[node].routes.contains { $0.method == method }
        precondition(isNew, "declared twice: \(method) \(pattern)")
        let route = Route(
            method: method,
            pattern: pattern,
            names: names,
            bodyLimit: bodyLimit,
            doorkeeper: doorkeeper,
            action: action
        )
        self.nodes[node].routes.append(route)
        self.routes.append(Declaration(method: method, pattern: pattern))
    }

    private mutating func child(of node: Int, _ slot: WritableKeyPath<Node, Int?>) -> Int {
        if let child = self.nodes[node][keyPath: slot] { return child }
        self.nodes.append(Node())
        self.nodes[node][keyPath: slot] = self.nodes.count - 1
        return self.nodes.count - 1
    }

    /// Finds what answers `method` on the path with these decoded segments.
    func resolve(_ method: String, path: String, segments: [String]) -> Outcome {
        if path == "*" {
            return .options(allow: self.allow(self.nodes.flatMap(\.routes)))
        }
        var found: [Int] = []
        self.walk(0, segments[...], into: &found)
        guard !found.isEmpty else { return .notFound }
        for node in found {
            let routes = self.nodes[node].routes
            let route = routes.first { $0.method == method } ?? routes.first { method == "HEAD" && $0.method == "GET" }
            if let route {
                return .route(route, parameters: route.names.reduce(into: [:]) { $0[$1.value] = segments[$1.key] })
            }
        }
        let allow = self.allow(found.flatMap { self.nodes[$0].routes })
        return method == "OPTIONS" ? .options(allow: allow) : .methodNotAllowed(allow: allow)
    }

    /// The nodes with routes that match, the most literal first.
    private func walk(_ node: Int, _ rest: ArraySlice<String>, into found: inout [Int]) {
        guard let segment = rest.first else {
            if !self.nodes[node].routes.isEmpty { found.append(node) }
            return
        }
        if let next = self.nodes[node].literals[segment] {
            self.walk(next, rest.dropFirst(), into: &found)
        }
        if let next = self.nodes[node].parameter, !segment.isEmpty {
            self.walk(next, rest.dropFirst(), into: &found)
        }
    }

    private func allow(_ routes: [Route]) -> String {
        var methods = Set(routes.map(\.method))
        if methods.contains("GET") { methods.insert("HEAD") }
        methods.insert("OPTIONS")
        return methods.sorted().joined(separator: ", ")
    }
}
