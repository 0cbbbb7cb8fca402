import Domain
import Gateway
import HTTP

/// The snapshots of a conversation, and new conversations made of them.
struct SnapshotRoutes: Sendable {
    private static let usualPage: Int64 = 100
    private static let largestPage: Int64 = 1_000

    /// `GET …/snapshots?after=&limit=`
    func list(_ call: Call) async throws -> Response {
        let (agent, id) = try Self.names(call)
        let query = try call.query("after", "limit")
        let limit = Int(try query.integer("limit", in: 1...Self.largestPage) ?? Self.usualPage)
        let after = try query.integer("after", in: 0 ... .max) ?? 0
        // One more than asked for tells whether there is a next page.
        let found = try await call.tenant.snapshots(agent, id, after: after, limit: limit + 1)
        let page = Array(found.prefix(limit))
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("snapshots", objects: page) { $0.members(of: $1) }
                json.member("next", number: found.count > limit ? page.last.map { Int($0.seq) } : nil)
            }
        )
    }

    /// `GET …/snapshots/{seq}`: the body, as it was stored.
    func read(_ call: Call) async throws -> Response {
        let (agent, id) = try Self.names(call)
        _ = try call.query()
        let text = call.request.parameters["seq"] ?? ""
        let body = try await call.tenant.snapshotBody(
            agent,
            id,
            seq: try QueryValues.integer(text, of: "seq", in: 1 ... .max)
        )
        var headers: Headers = [:]
        headers.set("Content-Type", "application/octet-stream")
        headers.set("Cache-Control", "no-store")
        headers.set("X-Content-Type-Options", "nosniff")
        return Response(status: 200, headers: headers, body: .bytes(body))
    }

    /// `DELETE …/snapshots?keep_turns=`
    func prune(_ call: Call) async throws -> Response {
        let (agent, id) = try Self.names(call)
        let query = try call.query("keep_turns")
        guard let keep = try query.integer("keep_turns", in: 0...1_000_000_000) else {
            throw APIError.invalid("keep_turns", "is missing")
        }
        let pruned = try await call.tenant.pruneSnapshots(agent, id, keepTurns: keep)
        return .json(
            JSONWriter.object { json in
                json.member("links", pruned.links)
                json.member("bytes", pruned.bytes)
            }
        )
    }

    /// `POST …/fork`: `{from_seq?, conversation}`
    func fork(_ call: Call) async throws -> Response {
        let (agent, id) = try Self.names(call)
        _ = try call.query()
        let members = try JSONMembers(call.json(), known: ["from_seq", "conversation"])
        guard let name = try members.text("conversation") else {
            throw APIError.invalid("conversation", "is missing")
        }
        let target: ConversationID
        do throws(InvalidName) {
            target = try ConversationID(name)
        } catch {
            throw APIError(400, "invalid_id", error.description, param: "conversation")
        }
        let seq = try members.integer("from_seq", in: 1 ... .max)
        let made = try await call.tenant.fork(agent, id, from: seq, to: target)
        return .json(JSONWriter.object { $0.members(of: made) }, status: 201)
    }

    private static func names(_ call: Call) throws(APIError) -> (AgentID, ConversationID) {
        (try call.name("agent", AgentID.self), try call.name("conversation", ConversationID.self))
    }
}
