import Domain
import Foundation
import Gateway
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// Every route, asked for what is another organization's by every kind of caller.
@Suite(.serialized)
struct CrossTenantTests {
    /// Somebody who asks.
    private struct Caller: Sendable {
        let name: String
        /// Nil for one who is not let in.
        let scopes: Set<Scope>?
        let probe: Probe
        var headers: [String: String] = [:]
    }

    /// What the victim says, has and keeps; no answer to anybody else may hold it.
    private static let canary = "CANARY-7f3a"

    @Test(
        "whatever is another organization's is answered like what nobody has, to every kind of caller, by every route"
    )
    func matrix() async throws {
        try await APIFixture.with { fixture in
            let names = try await Self.victim(fixture)
            let cases = CrossTenantCase.all(fixture.api.routes)
            for placeholder in Set(cases.flatMap(\.placeholders)) {
                #expect(names[placeholder] != nil, "tell the matrix what {\(placeholder)} is")
            }
            let before = try await Self.content(fixture)
            let callers = try await Self.callers(fixture)
            for caller in callers {
                for one in cases { try await Self.ask(one, caller, names) }
            }
            #expect(try await Self.content(fixture) == before, "somebody changed what is not theirs")
            #expect(callers.count == 10 && cases.count >= fixture.api.routes.filter { !$0.isOpen }.count)
            // The questions were good ones: to whom it belongs, each finds its subject. What deletes comes last.
            for one in cases where !one.placeholders.isEmpty && !one.isForOperators && one.route.method != "DELETE" {
                try await Self.askOwner(one, fixture, names)
            }
            let deleting = cases.filter {
                !$0.placeholders.isEmpty && !$0.isForOperators && $0.route.method == "DELETE"
            }
            // What lies within something else first.
            for one in deleting.filter({ $0.placeholders.count > 1 }) + deleting.filter({ $0.placeholders.count == 1 })
            {
                try await Self.askOwner(one, fixture, names)
            }
        }
    }

    private static func ask(_ one: CrossTenantCase, _ caller: Caller, _ names: CrossTenantCase.Names) async throws {
        let comment = "\(one.route.identity) \(one.body ?? "") by \(caller.name)"
        let isAdmitted = caller.scopes.map(one.admits) ?? false
        // What an admitted caller may do without a subject, and what operators do to the installation, crosses nothing.
        guard !isAdmitted || (!one.placeholders.isEmpty && !one.isForOperators) else { return }
        var texts: [String] = []
        for subject in Subject.allCases {
            let answer = try await caller.probe.send(
                one.route.method,
                one.target(subject, names),
                one.body(subject, names),
                headers: caller.headers,
                enough: { $0.contains("\r\n\r\n") && $0.contains("text/event-stream") }
            )
            let expected = caller.scopes == nil ? 401 : isAdmitted ? one.status : 403
            #expect(answer.status == expected, "\(comment), \(subject): \(answer.text)")
            #expect(!answer.text.contains(self.canary), "\(comment): a leak")
            texts.append(self.comparable(answer, subject, names))
        }
        #expect(texts[0] == texts[1], "\(comment)")
    }

    private static func askOwner(
        _ one: CrossTenantCase,
        _ fixture: APIFixture,
        _ names: CrossTenantCase.Names
    ) async throws {
        let body = one.body(.foreign, names)?.replacing(#""model":"own""#, with: #""model":"private""#)
        let answer = try await fixture.client.send(
            one.route.method,
            one.target(.foreign, names),
            body,
            enough: { $0.contains("\r\n\r\n") && $0.contains("text/event-stream") }
        )
        let isFound = (200..<300).contains(answer.status) || answer.status == 409 || answer.status == 410
        #expect(isFound, "\(one.route.identity) \(body ?? ""): \(answer.status) \(answer.text)")
    }

    /// An answer without what differs between any two: ids, times, the names that were asked for.
    private static func comparable(_ answer: Answer, _ subject: Subject, _ names: CrossTenantCase.Names) -> String {
        var text = answer.text
        for (name, pair) in names.sorted(by: { $0.key < $1.key }) where pair.foreign != pair.missing {
            text = text.replacing(subject == .foreign ? pair.foreign : pair.missing, with: "<\(name)>")
        }
        text = text.replacing(/"request_id":"[^"]*"/, with: "").replacing(/[0-9-]+T[0-9:.]+Z/, with: "<time>")
        let headers = answer.headers.filter { !["x-request-id", "date", "content-length"].contains($0.key) }
        return "\(answer.status) \(headers.sorted { $0.key < $1.key }) \(text)"
    }

    // MARK: - The victim

    /// One of everything in the fixture's organization, and names of nothing in the same form.
    private static func victim(_ fixture: APIFixture) async throws -> CrossTenantCase.Names {
        let agent = #"""
            {"driver":"command","command":["/bin/sh","-c","cat >> $HOME/list; cat $HOME/list"],
            "store_mode":"snapshot","snapshots":{"kind":"directory"}}
            """#
        #expect(try await fixture.client.send("PUT", "/v1/agents/private", agent).status == 200)
        let said = try await fixture.client.send(
            "POST",
            "/v1/agents/private/conversations/private-c/turns",
            #"{"input":"\#(self.canary)"}"#
        ).json()
        let turn = try #require(said["turn"]?["id"]?.text)
        let ended = try await fixture.client.send("GET", "/v1/turns/\(turn)?wait=30").json()
        #expect(ended["turn"]?["outcome"]?["reply"]?.text == self.canary)
        let thread = try #require(try await fixture.client.send("POST", "/v1/conversations").json()["id"]?.text)
        let asked = #"{"model":"private","input":"\#(self.canary)","conversation":"\#(thread)"}"#
        let response = try await fixture.client.send("POST", "/v1/responses", asked).json()
        #expect(response["status"]?.text == "completed")
        let items = try await fixture.client.send("GET", "/v1/conversations/\(thread)/items").json()
        let token = try await fixture.client.send("POST", "/v1/tokens", #"{"name":"t","scopes":["turns"]}"#).json()
        let rule = try await fixture.client.send("POST", "/v1/approval-rules", #"{"effect":"ask","tool":"x"}"#).json()
        let account = try await fixture.client.send(
            "POST",
            "/v1/accounts",
            #"{"provider":"p","principal":"\#(self.canary)","label":"private-label"}"#
        ).json()
        let plan = #"{"cron":"0 0 1 1 *","input":"\#(self.canary)"}"#
        #expect(try await fixture.client.send("PUT", "/v1/schedules/private-s", plan).status == 200)
        let nobody = "0198a1b2-0000-7000-8000-000000000001"
        let digits = nobody.replacing("-", with: "")
        return [
            "agent": ("private", "nobodys"), "model": ("private", "nobodys"),
            "conversation": ("private-c", "nobodys-c"),
            "turn": (turn, nobody), "seq": ("1", "1"), "replica": (nobody, nobody), "org": ("o", "o"),
            "thread": (thread, "conv_\(digits)"),
            "item": (try #require(items["data"]?.elements?.first?["id"]?.text), "msg_\(digits)_in"),
            "response": (try #require(response["id"]?.text), "resp_\(digits)"),
            "approval": (try await self.question(fixture), nobody),
            "rule": (try #require(rule["rule"]?["id"]?.text), nobody),
            "account": (try #require(account["account"]?["id"]?.text), nobody),
            "label": ("private-label", "nobodys-label"), "schedule": ("private-s", "nobodys-s"),
            "token": (try #require(token["token"]?["id"]?.text), nobody),
        ]
    }

    /// The question of a worker that waits for its answer.
    private static func question(_ fixture: APIFixture) async throws -> String {
        let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Doubles/worker_double.py").path
        var careful = AgentConfiguration(driver: .acp, command: ["python3", double, "ask"], storeMode: .none)
        careful.permissions = .ask
        _ = try await fixture.gateway.tenant(fixture.org).putAgent(try AgentID("careful"), careful)
        let path = "/v1/agents/careful/conversations/q/turns"
        #expect(try await fixture.client.send("POST", path, #"{"input":"go"}"#).status == 202)
        var found: String?
        try await eventually("the question") {
            let list = try await fixture.client.send("GET", "/v1/approvals?state=pending").json()
            found = list["approvals"]?.elements?.first?["id"]?.text
            return found != nil
        }
        return try #require(found)
    }

    /// The victim's rows. A waiting turn's deadlines move by themselves.
    private static func content(_ fixture: APIFixture) async throws -> String {
        let pool = ConnectionPool(
            configuration: .init(conninfo: fixture.conninfo, size: 1),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        let rows = try await pool.query(
            """
            SELECT string_agg(kept.row, E'\\n' ORDER BY kept.row) AS text FROM (
                SELECT t::text AS row FROM turnpike.agents t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.tokens t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.conversations t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.turns t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.approvals t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.threads t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.approval_rules t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.accounts t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.account_labels t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.schedules t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.quotas t WHERE org = 'acme'
                UNION ALL SELECT t::text FROM turnpike.openai_turns t WHERE org = 'acme'
                UNION ALL SELECT t.conversation_id || ' ' || t.seq || t.type FROM turnpike.events t
                    JOIN turnpike.conversations c ON c.id = t.conversation_id WHERE c.org = 'acme'
            ) kept
            """
        )
        await pool.close()
        return try rows.first?.get("text") ?? ""
    }

    // MARK: - The callers

    /// One of each kind, each of an organization of its own: what one of them makes is not there for the next.
    private static func callers(_ fixture: APIFixture) async throws -> [Caller] {
        var callers: [Caller] = []
        for scopes in [[.turns], [.agents], [.admin], [.operator], Set(Scope.allCases)] as [Set<Scope>] {
            let name = scopes.map(\.rawValue).sorted().joined(separator: "-")
            let probe = try await fixture.client(of: "rival-\(name)", scopes)
            callers.append(Caller(name: "a token with \(name)", scopes: scopes, probe: probe))
        }
        let signedIn = try await fixture.client(of: "rival-page", Set(Scope.allCases))
        let cookie = try #require(try await signedIn.send("POST", "/v1/session").headers["set-cookie"])
        callers.append(
            Caller(
                name: "a web session",
                scopes: [.turns, .agents],
                probe: fixture.stranger,
                headers: ["Cookie": String(cookie.prefix { $0 != ";" }), "Origin": "http://localhost"]
            )
        )
        let late = try OrganizationID("rival-late")
        try await fixture.gateway.ensureOrganization(late)
        let tenant = fixture.gateway.tenant(late)
        let expired = try await tenant.createToken(name: "e", scopes: [.admin], lifetime: .milliseconds(-1))
        let revoked = try await tenant.createToken(name: "r", scopes: [.admin], lifetime: nil)
        try await tenant.revokeToken(revoked.record.id)
        for (name, secret) in [
            ("an expired token", expired.secret), ("a revoked token", revoked.secret), ("a wrong token", "tpk_wrong"),
        ] {
            callers.append(Caller(name: name, scopes: nil, probe: Probe(port: fixture.port, token: secret)))
        }
        callers.append(Caller(name: "nobody", scopes: nil, probe: fixture.stranger))
        for org in ["rival-turns", "rival-admin", "rival-admin-agents-operator-turns", "rival-page"] {
            let own = AgentConfiguration(driver: .command, command: ["cat"], storeMode: .none)
            _ = try await fixture.gateway.tenant(try OrganizationID(org)).putAgent(try AgentID("own"), own)
        }
        return callers
    }
}
