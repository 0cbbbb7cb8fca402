import Domain
import Gateway
import HTTP
import Runtime
import Testing

@testable import API

private struct Defect: Error, CustomStringConvertible {
    let description = "SELECT secret FROM turnpike.tokens failed at Store.swift:12"
}

struct ErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let error: any Error
        let status: Int
        let code: String
        let headers: [String: String]

        init(_ error: any Error, _ status: Int, _ code: String, _ headers: [String: String] = [:]) {
            self.error = error
            self.status = status
            self.code = code
            self.headers = headers
        }

        var testDescription: String { self.code }
    }

    static let once = ["x-should-retry": "false"]
    static let later = ["Retry-After": "1"]

    static let cases: [Case] =
        [
            Case(GatewayError.notFound("turn"), 404, "not_found"),
            Case(GatewayError.deleted, 410, "deleted", Self.once),
            Case(GatewayError.idempotencyConflict(nil), 409, "idempotency_conflict", Self.once),
            Case(GatewayError.conversationBusy(ahead: 3), 409, "conversation_busy", Self.once),
            Case(GatewayError.queueFull(limit: 100), 429, "queue_full", Self.later),
            Case(GatewayError.quotaReached(.tokenTurns, limit: 2), 429, "quota_reached", Self.later),
            Case(GatewayError.limitReached("schedules", limit: 5), 409, "limit_reached", Self.once),
            Case(GatewayError.alreadyEnded, 409, "already_ended", Self.once),
            Case(GatewayError.invalid(member: "command", problem: "must name a program"), 400, "invalid_request"),
            Case(GatewayError.agentNotConfigured("a"), 404, "agent_not_configured"),
            Case(GatewayError.unavailable("connection refused"), 503, "unavailable", Self.later),
            Case(GatewayError.draining, 503, "draining", Self.later),
            Case(GatewayError.outputLimit(bytes: 1_024), 413, "output_limit"),
            Case(HTTPError(.badRequest, "two lengths"), 400, "bad_request"),
            Case(HTTPError(.notFound, "no such resource"), 404, "not_found"),
            Case(
                HTTPError(.methodNotAllowed, "no", headers: ["Allow": "GET"]),
                405,
                "method_not_allowed",
                ["Allow": "GET"]
            ),
            Case(HTTPError(.requestTimeout, "too slow"), 408, "request_timeout"),
            Case(HTTPError(.contentTooLarge, "too long"), 413, "content_too_large"),
            Case(HTTPError(.headersTooLarge, "too long"), 431, "headers_too_large"),
            Case(HTTPError(.notImplemented, "unknown coding"), 501, "not_implemented"),
            Case(HTTPError(.unavailable, "too many connections"), 503, "unavailable", Self.later),
            Case(HTTPError(.versionNotSupported, "HTTP/3.0"), 505, "version_not_supported"),
            Case(JSONFailure("a string without an end"), 400, "invalid_json"),
            Case(JSONFailure("occurs twice", isMalformed: false).inside(".a"), 400, "invalid_request"),
            Case(CancellationError(), 503, "draining", Self.later),
            Case(Defect(), 500, "internal"),
        ] + Self.turn.map { Case(GatewayError.acceptanceUnknown($0), 503, "acceptance_unknown", Self.once) }

    private static let turn = [TurnID("01a215e2-2f16-7228-9bd0-ac8777d1669e")].compactMap { $0 }

    @Test("every failure has its status, its code and its headers, in one shape", arguments: Self.cases)
    func mapping(_ expected: Case) throws {
        let response = APIError(expected.error).response(requestID: "r-1")
        #expect(response.status == expected.status)
        for (name, value) in expected.headers { #expect(response.headers[name] == value) }
        #expect(response.headers["Content-Type"] == "application/json")
        let body = try Self.body(response)
        guard case .object(let members)? = body["error"] else {
            Issue.record("no error object")
            return
        }
        #expect(members["code"]?.text == expected.code)
        #expect(members["request_id"]?.text == "r-1")
        #expect(members["message"]?.text?.isEmpty == false)
        let names = Set(members.keys).subtracting(["position", "wait_seconds"])
        #expect(names == ["type", "code", "message", "param", "request_id"])
    }

    @Test("every gateway error and every status of the server has a case above")
    func complete() {
        #expect(Self.cases.count { $0.error is GatewayError } == 14)
        let sent = HTTPError.Code.allCases.filter { ![417, 499, 500].contains($0.status) }
        let tested = Self.cases.compactMap { ($0.error as? HTTPError)?.code }
        #expect(Set(sent) == Set(tested))
    }

    @Test("a defect's text stays inside")
    func noLeak() throws {
        for error in [Defect() as any Error, GatewayError.unavailable("host=db password=hunter2")] {
            let refusal = APIError(error)
            guard case .bytes(let bytes) = refusal.response(requestID: nil).body else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(!text.contains("SELECT") && !text.contains("hunter2") && !text.contains(".swift"))
            #expect(refusal.cause != nil, "the log must hear of it")
        }
    }

    @Test("a busy conversation says how many turns are ahead")
    func ahead() throws {
        let body = try Self.body(APIError(GatewayError.conversationBusy(ahead: 3)).response(requestID: nil))
        #expect(body["error"]?["position"]?.integer == 3)
        #expect(body["error"]?["message"]?.text == "3 turns are ahead")
    }

    @Test("a wrong member of an agent's configuration is named")
    func invalidMember() throws {
        let error = APIError(GatewayError.invalid(member: "limits.turn_seconds", problem: "must be from 1 to 86400"))
        #expect(error.param == "limits.turn_seconds")
        #expect(error.message == "limits.turn_seconds must be from 1 to 86400")
    }

    private static func body(_ response: Response) throws -> JSONValue {
        guard case .bytes(let bytes) = response.body else { return .null }
        return try JSONReader.read(bytes)
    }
}
