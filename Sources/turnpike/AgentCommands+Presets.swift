import Domain
import Foundation

// `agent presets`, `add` and `check`: agents that others made.

extension AgentCommands {
    func presets() throws {
        guard !self.wantsJSON else {
            let list = AgentPreset.all.map { preset -> JSONValue in
                [
                    "name": .string(preset.name), "summary": .string(preset.summary),
                    "packages": .array(preset.packages.map { .string($0) }),
                    "settings": .array(preset.settings.map { .string($0.name) }),
                ]
            }
            return Console.write(try Console.json(["presets": list]))
        }
        let rows = AgentPreset.all.map { [$0.name, $0.packages.joined(separator: " "), $0.summary] }
        Console.write(Console.table(["PRESET", "TRIED WITH", "WHAT IT IS"], rows))
        Console.write(
            "\nEach takes --set base_url=…, model=…, api_key=…, program=…, and any member of a configuration.\n"
        )
    }

    /// Tries the preset's configuration on the replica that is asked, and stores it when the agent starts.
    func add() async throws -> ExitCode {
        let invocation = self.context.invocation
        let preset = try Self.preset(invocation.arguments[0])
        let name = try CommandContext.name(invocation.value("--name") ?? preset.name, as: AgentID.self)
        let configuration = try preset.configuration(try Self.replacements(invocation.values("--set")))
        if let problem = configuration.problems.first {
            throw CommandFailure(.usage, "\(problem.member) \(problem.problem)")
        }
        let encoded = try JSONEncoder().encode(configuration)
        let body = try JSONDecoder().decode(JSONValue.self, from: encoded)
        guard !invocation.has("--print") else {
            Console.write(try Console.json(body))
            return .success
        }
        let path = "/v1/agents/" + GatewayClient.segment(name.text)
        var check: JSONValue = .null
        if !invocation.has("--no-check") {
            check = try await self.check(path, body)
            guard check["starts"] == true else {
                let remedy = "Install it with: \(preset.installation)\nThen name its program with --set program=PATH."
                let isMissing = check["failure"]?["message"]?.text?.contains("no executable program") == true
                Console.write(try self.rendered(check, name.text, remedy: isMissing ? remedy : nil))
                return .failure
            }
        }
        let answer = try await self.context.client().perform(.init(method: "PUT", path: path, body: body))
        guard !self.wantsJSON else {
            Console.write(try Console.json(["agent": answer, "check": check]))
            return .success
        }
        if check != .null { Console.write(try self.rendered(check, name.text, remedy: nil)) }
        let remarks = preset.remarks.map { $0 + "\n" }.joined()
        Console.write("\(remarks)Agent \(name.text) is set up. Try: turnpike chat --agent \(name.text)\n")
        return .success
    }

    /// Ends with 1 when the agent does not start.
    func check() async throws -> ExitCode {
        let invocation = self.context.invocation
        let body = invocation.has("--file") ? try Self.body(invocation, read: Self.readDocument) : nil
        let check = try await self.check(try self.path, body)
        Console.write(try self.rendered(check, invocation.arguments[0], remedy: check["failure"]?["remedy"]?.text))
        return check["starts"] == true ? .success : .failure
    }

    private func check(_ path: String, _ body: JSONValue?) async throws -> JSONValue {
        let call = GatewayClient.Call(method: "POST", path: path + "/check", body: body)
        return try await self.context.client().perform(call, withinSeconds: 150)["check"] ?? [:]
    }

    private func rendered(_ check: JSONValue, _ name: String, remedy: String?) throws -> String {
        guard !self.wantsJSON else { return try Console.json(["check": check]) }
        return Self.lines(check, name: name) + (remedy.map { $0 + "\n" } ?? "")
    }

    private static func preset(_ name: String) throws(CommandFailure) -> AgentPreset {
        if let preset = AgentPreset.all.first(where: { $0.name == name }) { return preset }
        let known = AgentPreset.all.map(\.name)
        throw CommandFailure(
            .usage,
            "there is no preset \(name)\(Suggestion.phrase(for: name, among: known))",
            remedy:
                "There are \(known.joined(separator: ", ")). Any other ACP agent: turnpike agent put NAME -- PROGRAM …"
        )
    }

    /// `KEY=VALUE` each; `KEY=@FILE` is the file's text without its last line break.
    static func replacements(_ words: [String]) throws(CommandFailure) -> [(key: String, value: String)] {
        var found: [(key: String, value: String)] = []
        for word in words {
            guard let sign = word.firstIndex(of: "="), sign != word.startIndex else {
                throw CommandFailure(.usage, "--set takes KEY=VALUE, not \(word)")
            }
            var value = String(word[word.index(after: sign)...])
            if value.hasPrefix("@") {
                value = try self.readDocument(String(value.dropFirst()))
                while value.last?.isNewline == true { value.removeLast() }
            }
            found.append((String(word[..<sign]), value))
        }
        return found
    }

    /// What a check found, for people.
    static func lines(_ check: JSONValue, name: String) -> String {
        let seconds = String(format: "%.1f s", Double(check["milliseconds"]?.integer ?? 0) / 1_000)
        guard check["starts"] == true else {
            let message = ChatRenderer.printable(check["failure"]?["message"]?.text ?? "it did not say why")
            return "\(name) does not start (after \(seconds)): \(message)\n"
        }
        var facts: [(String, String)] = [("start", seconds)]
        if let memory = check["memory_bytes"]?.integer { facts.append(("memory", "\(memory >> 20) MiB")) }
        if let report = check["report"], report != .null { facts += self.facts(report) }
        let width = facts.map(\.0.count).max() ?? 0
        let lines = facts.map { label, text in
            "  \(label)\(String(repeating: " ", count: width - label.count))  \(ChatRenderer.printable(text))\n"
        }
        return "\(name) starts.\n" + lines.joined()
    }

    private static func facts(_ report: JSONValue) -> [(String, String)] {
        func list(_ member: String) -> String {
            (report[member]?.elements ?? []).compactMap(\.text).joined(separator: ", ")
        }
        let own = [report["name"]?.text, report["version"]?.text].compactMap(\.self).joined(separator: " ")
        let sessions =
            report["loads_sessions"] == true
            ? "finds them again in its files (session/load)"
            : "cannot find them again; a new worker is told the transcript"
        return [
            ("program", own.isEmpty ? "does not say" : own),
            ("protocol", "ACP \(report["protocol_version"]?.integer ?? 0)"),
            ("sessions", sessions),
            ("state", report["hands_over_snapshots"] == true ? "hands over snapshots" : "in its files"),
            ("prompts", list("prompt_parts")),
            ("tool servers", list("mcp_transports")),
            ("credentials", list("auth_methods").isEmpty ? "asks for none" : list("auth_methods")),
            ("modes", list("modes").isEmpty ? "none" : list("modes")),
        ]
    }
}
