import Domain
import Foundation

/// `agent list`, `show`, `put`, `delete`.
struct AgentCommands: Sendable {
    let context: CommandContext

    func list() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(path: "/v1/agents"))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        let rows = Listing.items(answer, "agents").map { item in
            let configuration = Listing.configuration(item)
            return [
                item["id"]?.text ?? "?", configuration["driver"]?.text ?? "?",
                configuration["store_mode"]?.text ?? "?",
                (configuration["command"]?.elements ?? []).compactMap(\.text).joined(separator: " "),
            ]
        }
        Console.write(Console.table(["AGENT", "DRIVER", "STATE", "COMMAND"], rows))
    }

    func show() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(path: try self.path))
        for circuit in Listing.items(answer, "circuits") { Console.warn("\(Listing.sentence(circuit))\n") }
        // People get what `agent put --file` takes back; scripts get the whole record.
        Console.write(try Console.json(self.wantsJSON ? answer : Listing.configuration(answer)))
    }

    func put() async throws {
        let body = try Self.body(self.context.invocation) { path throws(CommandFailure) in
            try Self.readDocument(path)
        }
        let call = GatewayClient.Call(method: "PUT", path: try self.path, body: body)
        let answer = try await self.context.client().perform(call)
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Agent \(self.context.invocation.arguments[0]) is set.\n")
    }

    func delete() async throws {
        let answer = try await self.context.client().perform(GatewayClient.Call(method: "DELETE", path: try self.path))
        guard !self.wantsJSON else { return Console.write(try Console.json(answer)) }
        Console.write("Agent \(self.context.invocation.arguments[0]) is deleted.\n")
    }

    var wantsJSON: Bool { self.context.invocation.has("--json") }

    var path: String {
        get throws(CommandFailure) {
            let name = try CommandContext.name(self.context.invocation.arguments[0], as: AgentID.self)
            return "/v1/agents/" + GatewayClient.segment(name.text)
        }
    }

    /// The body of the `PUT`: the file's members, replaced by what the options say. Pure but for `read`.
    static func body(
        _ invocation: Invocation,
        read: (String) throws(CommandFailure) -> String
    ) throws(CommandFailure) -> JSONValue {
        var members: [String: JSONValue] = [:]
        if let path = invocation.value("--file") {
            let text = try read(path)
            guard case .object(let given)? = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) else {
                throw CommandFailure(.usage, "\(path): must be one JSON object, as \"agent show\" prints it")
            }
            members = given
        }
        if let driver = invocation.value("--driver") {
            try self.check(driver, "--driver", DriverKind.self)
            members["driver"] = .string(driver)
        }
        if let mode = invocation.value("--store-mode") {
            try self.check(mode, "--store-mode", StoreMode.self)
            members["store_mode"] = .string(mode)
        }
        if let upstream = invocation.value("--model") { members["model"] = ["upstream": .string(upstream)] }
        if !invocation.rest.isEmpty { members["command"] = .array(invocation.rest.map { .string($0) }) }
        guard members["command"] != nil || members["driver"] == .string(DriverKind.remote.rawValue) else {
            throw CommandFailure(
                .usage,
                "no program is named",
                remedy: "Write it after --, for example: turnpike agent put helper -- python3 agent.py"
            )
        }
        return .object(members)
    }

    private static func check<Choice: RawRepresentable & CaseIterable>(
        _ text: String,
        _ option: String,
        _ type: Choice.Type
    ) throws(CommandFailure) where Choice.RawValue == String {
        guard Choice(rawValue: text) == nil else { return }
        let known = Choice.allCases.map(\.rawValue)
        let suggestion = Suggestion.phrase(for: text, among: known)
        throw CommandFailure(
            .usage,
            #"\#(option): "\#(text)" is not one of \#(known.joined(separator: ", "))\#(suggestion)"#
        )
    }

    static func readDocument(_ path: String) throws(CommandFailure) -> String {
        do {
            guard path == "-" else { return try CommandContext.read(path) }
            return String(decoding: try FileHandle.standardInput.readToEnd() ?? Data(), as: UTF8.self)
        } catch {
            throw CommandFailure(.usage, "cannot read \(path)")
        }
    }
}

/// How the API lists things.
enum Listing {
    /// The array of a listing, whose member is named after what it holds.
    static func items(_ answer: JSONValue, _ member: String) -> [JSONValue] {
        answer[member]?.elements ?? []
    }

    /// What all pages of the listing at `path` hold, `limit` items a page.
    static func pages(
        _ client: GatewayClient,
        _ path: String,
        _ member: String,
        limit: Int
    ) async throws -> [JSONValue] {
        var (items, place): ([JSONValue], String?) = ([], "")
        while let after = place {
            let page = try await client.perform(GatewayClient.Call(path: "\(path)?limit=\(limit)\(after)"))
            items += self.items(page, member)
            let next = page["next"]?.text ?? page["next"]?.integer.map { String($0) }
            place = next.map { "&after=\(GatewayClient.segment($0))" }
        }
        return items
    }

    /// What a replica that has seen an agent's workers fail makes of it.
    static func sentence(_ circuit: JSONValue) -> String {
        let name = circuit["label"]?.text ?? "?"
        let reason = circuit["reason"]?.text ?? "?"
        return switch circuit["state"]?.text {
        case "open": "Replica \(name) starts no worker before \(circuit["until"]?.text ?? "?"): \(reason)"
        case "half_open": "Replica \(name) tries one worker more: \(reason)"
        default: "Replica \(name) has seen workers fail: \(reason)"
        }
    }

    /// The configuration within an agent's record, which a listing holds as it is and an answer about one agent under
    /// `agent`.
    static func configuration(_ answer: JSONValue) -> JSONValue {
        (answer["agent"] ?? answer)["configuration"] ?? [:]
    }
}
