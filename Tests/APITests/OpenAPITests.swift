import Domain
import Testing

@testable import API

/// `/openapi.json` against the routes themselves.
@Suite(.serialized)
struct OpenAPITests {
    @Test("every route has its entry in the document, and every entry its route")
    func complete() async throws {
        try await APIFixture.with { fixture in
            #expect(Set(fixture.api.routes.map(\.identity)) == Set(Operation.all.keys))
            let document = try await fixture.stranger.send("GET", "/openapi.json").json()
            #expect(document["openapi"]?.text == "3.1.0")
            guard case .object(let paths)? = document["paths"] else {
                Issue.record("no paths")
                return
            }
            for route in fixture.api.routes {
                let operation = paths[route.pattern]?[route.method.lowercased()]
                #expect(operation?["responses"]?["default"] != nil, "\(route.identity)")
                #expect((operation?["security"]?.elements?.isEmpty == true) == route.isOpen, "\(route.identity)")
                let names = route.pattern.matches(of: /{([a-z]+)}/).map { String($0.1) }
                let inPath = operation?["parameters"]?.elements?.filter { $0["in"] == "path" } ?? []
                #expect(inPath.compactMap { $0["name"]?.text } == names)
            }
        }
    }

    @Test("every schema that is named is there, and every one that is there is named")
    func references() {
        let operations = Operation.all.map { key, operation in
            operation.json(method: "GET", pattern: key, scope: nil)
        }
        let used = Set((operations + Components.all.values).flatMap(Self.references))
        let named = Set(Components.all.keys.map { "#/components/schemas/\($0)" })
        #expect(used == named)
    }

    private static func references(_ json: JSONValue) -> [String] {
        switch json {
        case .array(let elements): elements.flatMap(self.references)
        case .object(let members):
            members.flatMap { name, value in
                name == "$ref" ? [value.text ?? ""] : self.references(value)
            }
        default: []
        }
    }

    @Test("a method that a path does not offer is refused with those that it does, and OPTIONS lists them")
    func methods() async throws {
        try await APIFixture.with { fixture in
            for pattern in Set(fixture.api.routes.map(\.pattern)) {
                let target = pattern.replacing("{", with: "").replacing("}", with: "")
                let offered = Set(fixture.api.routes.filter { $0.pattern == pattern }.map(\.method))
                let allowed = offered.union(["OPTIONS"]).union(offered.contains("GET") ? ["HEAD"] : [])
                for method in ["TRACE", "PATCH", "OPTIONS"] {
                    let answer = try await fixture.client.send(method, target)
                    #expect(answer.status == (method == "OPTIONS" ? 204 : 405), "\(method) \(pattern)")
                    #expect(answer.headers["allow"] == allowed.sorted().joined(separator: ", "), "\(method) \(pattern)")
                }
            }
            let head = try await fixture.client.send("HEAD", "/v1/models")
            #expect(head.status == 200 && head.body.isEmpty)
        }
    }
}
