import Crypto
import Domain
import Foundation
import Workers

/// `snapshots list`, `export`, `prune`, `verify`, and `fork`.
struct SnapshotCommands: Sendable {
    let context: CommandContext

    /// A link as the gateway lists it.
    private struct Link: Sendable {
        let seq: Int64
        let parent: Int64
        let isBase: Bool
        let isDirectory: Bool
        let bytes: Int64
        let sha256: String
        let at: String

        init(_ item: JSONValue) throws {
            guard let seq = item["seq"]?.integer, let parent = item["parent"]?.integer, let kind = item["kind"]?.text,
                let bytes = item["bytes"]?.integer, let sha256 = item["sha256"]?.text
            else { throw CommandFailure(.failure, "the gateway lists a snapshot that is none") }
            self.seq = seq
            self.parent = parent
            self.isBase = kind == "base"
            self.isDirectory = item["format"]?.text == "directory"
            self.bytes = bytes
            self.sha256 = sha256
            self.at = item["at"]?.text ?? ""
        }

        var kind: String { self.isBase ? "base" : "delta" }
    }

    func list() async throws {
        let links = try await self.links()
        if self.context.invocation.has("--json") {
            return Console.write(try Console.json(JSONValue.array(try await self.items())))
        }
        let rows = links.map { link in
            [
                String(link.seq), link.kind, link.isDirectory ? "directory" : "blob", String(link.bytes), link.at,
                String(link.sha256.prefix(12)),
            ]
        }
        Console.write(Console.table(["TURN", "KIND", "FORMAT", "BYTES", "STORED", "SHA256"], rows))
    }

    func export() async throws {
        let links = try await self.links()
        let last = try self.number("--turn") ?? links.last?.seq ?? 0
        guard let end = links.lastIndex(where: { $0.seq == last }),
            let start = links[...end].lastIndex(where: { $0.isBase })
        else { throw CommandFailure(.failure, "there is no snapshot of turn \(last)") }
        let chain = Array(links[start...end])
        var bodies: [[UInt8]] = []
        let client = try self.context.client()
        for link in chain { bodies.append(try await self.body(link, by: client)) }
        guard let file = self.context.invocation.value("--to") else {
            throw CommandFailure(.usage, "say where to with --to FILE")
        }
        let bytes: [UInt8]
        let what: String
        if chain.contains(where: \.isDirectory) {
            bytes = try WorkspaceExport.merge(bodies, in: NSTemporaryDirectory())
            what = "a tar archive, compressed with zstd"
        } else if bodies.count == 1 {
            bytes = bodies[0]
            what = "the blob, as the worker gave it"
        } else {
            let names = chain.map { "\($0.seq).\($0.kind)" }
            bytes = try WorkspaceExport.pack(zip(names, bodies).map { (name: $0, body: $1) })
            what = "a tar archive, compressed with zstd, of a base and its deltas"
        }
        do {
            try Data(bytes).write(to: URL(filePath: file), options: .atomic)
        } catch {
            throw CommandFailure(.failure, "cannot write \(file): \(error.localizedDescription)")
        }
        Console.write("The state after turn \(last) is in \(file), \(bytes.count) bytes: \(what).\n")
    }

    func prune() async throws {
        guard let keep = try self.number("--keep") else {
            throw CommandFailure(.usage, "say how many with --keep TURNS")
        }
        let call = GatewayClient.Call(method: "DELETE", path: try self.path("snapshots?keep_turns=\(keep)"))
        let answer = try await self.context.client().perform(call)
        if self.context.invocation.has("--json") { return Console.write(try Console.json(answer)) }
        Console.write("Removed \(answer["links"]?.integer ?? 0) snapshots, \(answer["bytes"]?.integer ?? 0) bytes.\n")
    }

    /// Returns whether all is well.
    func verify() async throws -> ExitCode {
        let links = try await self.links()
        let client = try self.context.client()
        var problems: [String] = []
        var chain: [[UInt8]] = []
        for (index, link) in links.enumerated() {
            if !link.isBase, index == 0 || links[index - 1].seq != link.parent {
                problems.append("turn \(link.seq): the link before it, of turn \(link.parent), is missing")
            }
            do {
                let body = try await self.body(link, by: client)
                if link.isBase { chain = [] }
                chain.append(body)
            } catch let failure as CommandFailure where failure.exit == .failure {
                problems.append("turn \(link.seq): \(failure)")
            }
            // Whole stretches at once, so that each link is unpacked once.
            let isEnd = index == links.count - 1 || links[index + 1].isBase
            guard link.isDirectory, isEnd, problems.isEmpty else { continue }
            do {
                _ = try WorkspaceExport.merge(chain, in: NSTemporaryDirectory())
            } catch {
                problems.append("the links up to turn \(link.seq): \(error)")
            }
        }
        for problem in problems { Console.write("\(problem)\n") }
        let bytes = links.reduce(0) { $0 + $1.bytes }
        Console.write("\(links.count) snapshots, \(bytes) bytes: \(problems.isEmpty ? "all is well" : "damaged").\n")
        return problems.isEmpty ? .success : .failure
    }

    func fork() async throws {
        let words = self.context.invocation.arguments
        let target = try CommandContext.name(words[2], as: ConversationID.self)
        var body: [String: JSONValue] = ["conversation": .string(target.text)]
        if let seq = try self.number("--from") { body["from_seq"] = .integer(seq) }
        let call = GatewayClient.Call(method: "POST", path: try self.path("fork"), body: .object(body))
        let answer = try await self.context.client().perform(call)
        if self.context.invocation.has("--json") { return Console.write(try Console.json(answer)) }
        let seq = answer["origin"]?["seq"]?.integer ?? 0
        Console.write("Conversation \(target.text) begins with the state after turn \(seq) of \(words[1]).\n")
    }

    // MARK: - What they share

    private func path(_ part: String) throws(CommandFailure) -> String {
        let words = self.context.invocation.arguments
        let agent = try CommandContext.name(words[0], as: AgentID.self)
        let conversation = try CommandContext.name(words[1], as: ConversationID.self)
        let names = [agent.text, conversation.text].map(GatewayClient.segment)
        return "/v1/agents/\(names[0])/conversations/\(names[1])/\(part)"
    }

    private func items() async throws -> [JSONValue] {
        try await Listing.pages(self.context.client(), self.path("snapshots"), "snapshots", limit: 1_000)
    }

    private func links() async throws -> [Link] { try await self.items().map { try Link($0) } }

    /// The body of a link, compared with what the gateway says of it.
    private func body(_ link: Link, by client: GatewayClient) async throws -> [UInt8] {
        let call = GatewayClient.Call(path: try self.path("snapshots/\(link.seq)"))
        let body = try await client.bytes(call, withinSeconds: 600)
        guard Digest.hex(Digest.sha256(body)) == link.sha256 else {
            throw CommandFailure(.failure, "its bytes do not have the digest they were stored with")
        }
        return body
    }

    private func number(_ option: String) throws(CommandFailure) -> Int64? {
        guard let text = self.context.invocation.value(option) else { return nil }
        guard let number = Int64(text), number >= 0 else {
            throw CommandFailure(.usage, "\(option) takes a number, not \(text)")
        }
        return number
    }
}
