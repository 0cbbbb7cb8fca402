import Domain
import HTTP
import Testing

@testable import API

struct RequestTests {
    @Test(
        "a bearer token is taken from the one header and nowhere else",
        arguments: [
            ("Bearer tpk_x", "tpk_x"), ("bearer tpk_x", "tpk_x"), ("BEARER  tpk_x", "tpk_x"), ("Basic abc", nil),
            ("Bearer", nil), ("tpk_x", nil), ("", nil),
        ] as [(String, String?)]
    )
    func bearer(_ field: String, _ expected: String?) throws {
        let request = try Request(method: "GET", target: "/", headers: ["Authorization": field])
        #expect(try Credential.bearer(request) == expected)
    }

    @Test("two authorization headers are refused")
    func twoHeaders() throws {
        let request = try Request(
            method: "GET",
            target: "/",
            headers: ["Authorization": "Bearer a", "Authorization": "Bearer b"]
        )
        #expect(throws: APIError.self) { try Credential.bearer(request) }
    }

    @Test("a token in the URL is refused", arguments: ["token", "access_token", "api_key", "Token", "ACCESS%5fTOKEN"])
    func tokenInURL(_ name: String) throws {
        let request = try Request(method: "GET", target: "/v1/agents?\(name)=tpk_x")
        let error = #expect(throws: APIError.self) { try Credential.refuseInURL(request) }
        #expect(error?.status == 400)
        #expect(error?.message.contains("tpk_x") == false)
    }

    @Test(
        "query parameters that nobody reads, or that come twice, are refused",
        arguments: ["/?wiat=3", "/?wait=1&wait=2", "/?wait=1&x", "/?wait=61", "/?wait=-1", "/?wait=", "/?wait=1.0"]
    )
    func badQuery(_ target: String) throws {
        let request = try Request(method: "GET", target: target)
        #expect(throws: APIError.self) { try QueryValues(request, known: ["wait"]).integer("wait", in: 0...60) }
    }

    @Test("a query within its bounds is read")
    func goodQuery() throws {
        let request = try Request(method: "GET", target: "/?wait=60")
        #expect(try QueryValues(request, known: ["wait"]).integer("wait", in: 0...60) == 60)
        let bare = try Request(method: "GET", target: "/")
        #expect(try QueryValues(bare, known: ["wait"]).integer("wait", in: 0...60) == nil)
    }

    @Test(
        "a bad agent configuration is refused with the member's path",
        arguments: [
            (#"{"command":["x"],"colour":1}"#, "colour"), (#"{"command":"x"}"#, "command"), ("{}", "command"),
            (#"{"command":[1]}"#, "command[0]"), (#"{"command":["x"],"driver":"ftp"}"#, "driver"),
            (#"{"command":["x"],"limits":{"turn_second":1}}"#, "limits.turn_second"),
            (#"{"command":["x"],"limits":{"turn_seconds":"1"}}"#, "limits.turn_seconds"),
            (#"{"command":["x"],"environment":{"A":1}}"#, "environment.A"),
            (#"{"command":["x\u0000"]}"#, "command[0]"), (#"{"command":["x"],"command":["y"]}"#, "command"),
        ]
    )
    func badAgent(_ body: String, _ param: String) throws {
        let request = try Request(
            method: "PUT",
            target: "/",
            headers: ["Content-Type": "application/json"],
            body: Array(body.utf8)
        )
        do {
            _ = try AgentBody.read(request)
            Issue.record("it was taken")
        } catch {
            let refusal = APIError(error)
            #expect(refusal.status == 400)
            #expect(refusal.param == param)
        }
    }

    @Test("a configuration is shown in the shape in which it is put")
    func agentRoundTrip() throws {
        var configuration = AgentConfiguration(driver: .acp, command: ["python3", "/a/b"], storeMode: .snapshot)
        configuration.environment = ["A": "1"]
        configuration.limits.turnSeconds = 7
        let request = try Request(
            method: "PUT",
            target: "/",
            headers: ["Content-Type": "application/json"],
            body: Array(try AgentBody.text(configuration).utf8)
        )
        #expect(try AgentBody.read(request) == configuration)
    }

    @Test(
        "a bad token request is refused with the member's path",
        arguments: [
            (#"{"scopes":["turns"]}"#, "name"), (#"{"name":"","scopes":["turns"]}"#, "name"),
            (#"{"name":"a\nb","scopes":["turns"]}"#, "name"), (#"{"name":"a"}"#, "scopes"),
            (#"{"name":"a","scopes":[]}"#, "scopes"), (#"{"name":"a","scopes":["root"]}"#, "scopes[0]"),
            (#"{"name":"a","scopes":"turns"}"#, "scopes"),
            (#"{"name":"a","scopes":["turns"],"expires_in_seconds":0}"#, "expires_in_seconds"),
            (#"{"name":"a","scopes":["turns"],"secret":"tpk_mine"}"#, "secret"),
        ]
    )
    func badToken(_ body: String, _ param: String) throws {
        let json = try JSONReader.read(Array(body.utf8))
        let error = #expect(throws: APIError.self) { try TokenBody(json) }
        #expect(error?.param == param)
    }
}
