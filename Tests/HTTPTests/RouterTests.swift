import Testing

@testable import HTTP

@Suite("A router")
struct RouterTests {
    private static var router: Router {
        var router = Router()
        for (method, pattern) in [
            ("GET", "/"), ("GET", "/v1/things"), ("POST", "/v1/things"), ("GET", "/v1/things/{thing}"),
            ("POST", "/v1/things/new"), ("GET", "/v1/things/{thing}/parts/{part}"), ("OPTIONS", "/own"),
        ] {
            router.on(method, pattern) { _ in Response(status: 200) }
        }
        return router
    }

    private func find(_ method: String, _ target: String) throws -> String {
        let request = try Request(method: method, target: target)
        switch Self.router.resolve(method, path: request.path, segments: request.pathSegments) {
        case .route(let route, let parameters):
            let values = parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            return ([route.pattern] + values).joined(separator: " ")
        case .options(let allow): return "options \(allow)"
        case .notFound: return "404"
        case .methodNotAllowed(let allow): return "405 \(allow)"
        }
    }

    @Test(
        "finds the most literal route that offers the method",
        arguments: [
            ("GET /", "/"), ("GET /v1/things", "/v1/things"), ("HEAD /v1/things", "/v1/things"),
            ("GET /v1/things/7", "/v1/things/{thing} thing=7"), ("POST /v1/things/new", "/v1/things/new"),
            ("GET /v1/things/new", "/v1/things/{thing} thing=new"),
            ("GET /v1/things/a%20b/parts/c?x=1", "/v1/things/{thing}/parts/{part} part=c thing=a b"),
            ("GET /v1/things/", "404"), ("GET /v1/things//parts/c", "404"), ("GET /v1", "404"), ("GET //", "404"),
            ("PUT /v1/things", "405 GET, HEAD, OPTIONS, POST"), ("OPTIONS /v1/things/7", "options GET, HEAD, OPTIONS"),
            ("DELETE /v1/things/new", "405 GET, HEAD, OPTIONS, POST"), ("OPTIONS /own", "/own"),
        ]
    )
    func finds(_ line: String, _ expected: String) throws {
        let parts = line.split(separator: " ").map(String.init)
        #expect(try self.find(parts[0], parts[1]) == expected)
    }

    @Test("lists what was declared")
    func lists() {
        #expect(Self.router.routes.count == 7)
        #expect(Self.router.routes[3] == Router.Declaration(method: "GET", pattern: "/v1/things/{thing}"))
    }

    @Test("a query is decoded, and bad encodings are refused")
    func query() throws {
        let request = try Request(method: "GET", target: "/a?x=1+2&y=%C3%A9&z&x=3&=e&&")
        #expect(request.query.map { "\($0.name)=\($0.value)" } == ["x=1 2", "y=é", "z=", "x=3", "=e"])
        #expect(request.query.first { $0.name == "x" }?.value == "1 2")
        for target in ["/a?x=%", "/a?x=%4", "/a?x=%zz", "/%FF", "/%00", "/a%2fb", "/%2e%2e", "/a%0Ab"] {
            #expect(throws: HTTPError.self, "\(target)") { try Request(method: "GET", target: target) }
        }
    }
}
