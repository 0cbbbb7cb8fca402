import Domain
import Foundation

/// `approval list`, `approval decide`, and `rule list`, `add`, `delete`.
struct ApprovalCommands: Sendable {
    let context: CommandContext

    func list() async throws {
        let state = self.context.invocation.value("--state") ?? ApprovalState.pending.rawValue
        guard ApprovalState(rawValue: state) != nil else {
            let known = ApprovalState.allCases.map(\.rawValue)
            let suggestion = Suggestion.phrase(for: state, among: known)
            throw CommandFailure(.usage, #"there is no state "\#(state)"\#(suggestion)"#)
        }
        let answer = try await self.ask(.init(path: "/v1/approvals?state=\(state)&limit=1000"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let rows = Listing.items(answer, "approvals").map { item in
            let place = [item["agent"]?.text, item["conversation"]?.text].compactMap { $0 }.joined(separator: "/")
            return [
                item["id"]?.text ?? "?", place, item["tool"]?["name"]?.text ?? "", Self.brief(item["arguments"]),
                item["decision"]?.text ?? item["state"]?.text ?? "", item["expires_at"]?.text ?? "",
            ]
        }
        Console.write(Console.table(["ID", "WHERE", "TOOL", "ARGUMENTS", "DECISION", "EXPIRES"], rows))
    }

    func decide() async throws {
        let words = self.context.invocation.arguments
        guard let id = ApprovalID(words[0]) else {
            throw CommandFailure(.usage, "a question's id is a UUID; \"turnpike approval list\" shows it")
        }
        var body: [String: JSONValue] = ["decision": .string(words[1])]
        if let reason = self.context.invocation.value("--reason") { body["reason"] = .string(reason) }
        let answer = try await self.ask(.init(method: "POST", path: "/v1/approvals/\(id.text)", body: .object(body)))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let decision = answer["approval"]?["decision"]?.text ?? words[1]
        Console.write(ChatRenderer.printable("Question \(id.text) is decided: \(decision)\n"))
    }

    func rules() async throws {
        let answer = try await self.ask(.init(path: "/v1/approval-rules?limit=1000"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let rows = Listing.items(answer, "rules").map { item in
            [
                item["id"]?.text ?? "?", item["effect"]?.text ?? "", item["agent"]?.text ?? "every",
                item["tool"]?.text ?? "", Self.brief(item["arguments"]), item["created_at"]?.text ?? "",
            ]
        }
        Console.write(Console.table(["ID", "EFFECT", "AGENT", "TOOL", "ARGUMENTS", "MADE"], rows))
    }

    func addRule() async throws {
        let words = self.context.invocation.arguments
        var body: [String: JSONValue] = ["effect": .string(words[0]), "tool": .string(words[1])]
        if let agent = self.context.invocation.value("--agent") { body["agent"] = .string(agent) }
        if let reason = self.context.invocation.value("--reason") { body["reason"] = .string(reason) }
        if let text = self.context.invocation.value("--arguments") {
            do {
                body["arguments"] = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            } catch {
                throw CommandFailure(.usage, "--arguments is no JSON")
            }
        }
        let answer = try await self.ask(.init(method: "POST", path: "/v1/approval-rules", body: .object(body)))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Rule \(answer["rule"]?["id"]?.text ?? "?") holds from now on.\n")
    }

    func deleteRule() async throws {
        guard let id = ApprovalRuleID(self.context.invocation.arguments[0]) else {
            throw CommandFailure(.usage, "a rule's id is a UUID; \"turnpike rule list\" shows it")
        }
        let answer = try await self.ask(.init(method: "DELETE", path: "/v1/approval-rules/\(id.text)"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Rule \(id.text) is removed.\n")
    }

    private func ask(_ call: GatewayClient.Call) async throws -> JSONValue {
        try await self.context.client().perform(call)
    }

    /// The arguments on one line.
    private static func brief(_ arguments: JSONValue?) -> String {
        guard let arguments, arguments != .null, let text = try? Console.json(arguments) else { return "" }
        return text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    private var wantsJSON: Bool { self.context.invocation.has("--json") }
}
