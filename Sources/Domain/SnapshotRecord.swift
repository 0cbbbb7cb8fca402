/// A link of a snapshot chain as clients see it: everything but the state itself.
package struct SnapshotRecord: Sendable, Hashable {
    /// The turn after which it was taken.
    package let seq: Int64
    /// The link before; 0 for the first. A base stands without it, so it may have been pruned.
    package let parent: Int64
    /// Whether it is a full state or a difference.
    package let kind: Snapshot.Kind
    /// What the body is.
    package let format: SnapshotFormat
    /// Bytes of the body.
    package let bytes: Int64
    /// SHA-256 of the body, in hexadecimal digits.
    package let sha256: String
    /// When it was stored, RFC 3339 in UTC.
    package let at: String

    package init(
        seq: Int64,
        parent: Int64,
        kind: Snapshot.Kind,
        format: SnapshotFormat,
        bytes: Int64,
        sha256: String,
        at: String
    ) {
        self.seq = seq
        self.parent = parent
        self.kind = kind
        self.format = format
        self.bytes = bytes
        self.sha256 = sha256
        self.at = at
    }
}

/// The turn whose state a forked conversation began with.
package struct ConversationOrigin: Sendable, Hashable {
    /// The conversation's name, of the same agent. It may have been deleted since.
    package let conversation: String
    /// The number of the turn.
    package let seq: Int64

    package init(conversation: String, seq: Int64) {
        self.conversation = conversation
        self.seq = seq
    }
}

/// What pruning removed.
package struct PrunedSnapshots: Sendable, Hashable {
    /// Links of chains.
    package let links: Int
    /// Bytes of their bodies.
    package let bytes: Int64

    package init(links: Int, bytes: Int64) {
        self.links = links
        self.bytes = bytes
    }
}

/// What became of the wish for a fork.
package enum Fork: Sendable, Hashable {
    case made
    /// There is no such conversation to fork from.
    case unknown
    /// The conversation to fork from was deleted.
    case deleted
    /// No snapshot of that turn is there: it left none, or it has been pruned.
    case noSnapshot
    /// The new name is taken.
    case taken
    /// The new name belongs to a deleted conversation.
    case takenByDeleted
}
