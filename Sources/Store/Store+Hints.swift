package import Domain
import Postgres

/// A hint to a replica: ids only, and nothing depends on it.
package struct Hint: Sendable, Hashable {
    /// The replica that should look, by its channel.
    package let to: ReplicaID
    /// The hint itself, ids only.
    package let payload: String

    package init(to: ReplicaID, payload: String) {
        self.to = to
        self.payload = payload
    }

    /// The channel on which a replica listens.
    package static func channel(_ replica: ReplicaID) -> String {
        "turnpike_" + replica.text.replacing("-", with: "")
    }
}

extension Store {
    /// Sends hints together, in a transaction of their own: NOTIFY serialises commits, so it never rides on a turn's.
    package func send(_ hints: [Hint]) async throws {
        _ = try await self.pool.query(
            """
            SELECT pg_notify(h.channel, h.payload)
            FROM unnest(\(hints.map { Hint.channel($0.to) })::text[], \(hints.map(\.payload))::text[])
                AS h (channel, payload)
            """
        )
    }

    /// What a replica asks for its readers, in one round trip: the newest event numbers of the conversations that they
    /// follow, and their owners; and the grants of the tokens with these hashes, with which they were let in.
    package func look(
        at numbers: [ConversationNumber],
        hashes: [[UInt8]]
    ) async throws -> (logs: [(ConversationNumber, Int64, ReplicaID?)], grants: [[UInt8]: TokenGrant]) {
        let logs: Query = """
            SELECT id, last_event, owner_replica FROM turnpike.conversations
            WHERE id = ANY (\(numbers.map(\.value))::bigint[])
            """
        let answers = try await self.pool.pipeline([logs] + (hashes.isEmpty ? [] : [Self.grantsQuery(hashes)]))
        return (
            try answers[0].map {
                (ConversationNumber(try $0.get("id")), try $0.get("last_event"), try $0.optionalID("owner_replica"))
            },
            hashes.isEmpty ? [:] : try Self.grants(answers[1])
        )
    }
}
