/// One link of a conversation's snapshot chain.
package struct Snapshot: Hashable, Sendable {
    /// A full state, or the difference to the link before.
    package enum Kind: String, Sendable, Hashable {
        case base, delta
    }

    /// The turn after which it was taken.
    package let seq: Int64
    /// The link before; 0 for the first.
    package let parent: Int64
    /// Whether it is a full state or a difference.
    package let kind: Kind
    /// What the body is.
    package let format: SnapshotFormat
    /// The state itself; a blob is opaque to the gateway.
    package let body: [UInt8]

    package init(seq: Int64, parent: Int64, kind: Kind, format: SnapshotFormat = .blob, body: [UInt8]) {
        self.seq = seq
        self.parent = parent
        self.kind = kind
        self.format = format
        self.body = body
    }
}

/// What the end of a turn adds to the chain.
package struct SnapshotUpdate: Hashable, Sendable {
    /// Whether it is a full state or a difference.
    package let kind: Snapshot.Kind
    /// What the body is.
    package let format: SnapshotFormat
    /// The state itself; a blob is opaque to the gateway.
    package let body: [UInt8]

    package init(kind: Snapshot.Kind, format: SnapshotFormat = .blob, body: [UInt8]) {
        self.kind = kind
        self.format = format
        self.body = body
    }
}

/// The newest base and the deltas after it: all that hydrating needs.
package struct SnapshotChain: Sendable, Hashable {
    /// From the base on, oldest first; empty for a conversation without state.
    package let links: [Snapshot]

    /// A conversation without state.
    package static let empty = SnapshotChain()

    private init() {
        self.links = []
    }

    /// Checks that the links are one chain that starts with a base.
    package init(_ links: [Snapshot]) throws(BrokenChain) {
        if let first = links.first, first.kind != .base { throw BrokenChain(seq: first.seq) }
        for (previous, next) in zip(links, links.dropFirst()) where next.parent != previous.seq || next.kind == .base {
            throw BrokenChain(seq: next.seq)
        }
        self.links = links
    }

    /// The turn of the newest link; 0 without one.
    package var head: Int64 { self.links.last?.seq ?? 0 }

    /// What the holder keeps of it between turns.
    package var shape: ChainShape {
        ChainShape(
            head: self.head,
            baseBytes: self.links.first?.body.count,
            deltas: max(0, self.links.count - 1),
            deltaBytes: self.links.dropFirst().reduce(0) { $0 + $1.body.count }
        )
    }
}

/// The size of a chain: enough to decide when the next base is due, without holding its bytes.
package struct ChainShape: Sendable, Hashable {
    /// The turn of the newest link; 0 without one.
    package private(set) var head: Int64
    private var baseBytes: Int?
    private var deltas: Int
    private var deltaBytes: Int

    /// An empty chain.
    package static let empty = ChainShape(head: 0, baseBytes: nil, deltas: 0, deltaBytes: 0)

    /// The chain as a holder without a way to write it sees it: whatever is in it, it ends at `head`.
    package static func untouched(head: Int64) -> ChainShape {
        ChainShape(head: head, baseBytes: nil, deltas: 0, deltaBytes: 0)
    }

    init(head: Int64, baseBytes: Int?, deltas: Int, deltaBytes: Int) {
        self.head = head
        self.baseBytes = baseBytes
        self.deltas = deltas
        self.deltaBytes = deltaBytes
    }

    /// Whether the next snapshot should be a full base: there is none yet, or hydrating would have to read more
    /// deltas, or more bytes of them, than a base would cost. This keeps both the cost of a turn and the cost of
    /// hydrating from growing with the length of the conversation. A base costs the more the larger it is, so that a large
    /// one has to last for more deltas: `maximumDeltas` for each 32 KiB.
    package func wantsBase(maximumDeltas: Int) -> Bool {
        guard let baseBytes = self.baseBytes, self.deltas < maximumDeltas * max(1, baseBytes >> 15) else { return true }
        return self.deltaBytes > 2 * max(baseBytes, 4096)
    }

    /// Whether `update` can follow: a delta needs something to be the difference to.
    package func accepts(_ update: SnapshotUpdate) -> Bool {
        update.kind == .base || self.baseBytes != nil
    }

    /// Adds what a settled turn produced.
    package mutating func append(_ update: SnapshotUpdate, seq: Int64) {
        self.head = seq
        switch update.kind {
        case .base:
            self = ChainShape(head: seq, baseBytes: update.body.count, deltas: 0, deltaBytes: 0)
        case .delta:
            self.deltas += 1
            self.deltaBytes += update.body.count
        }
    }
}

/// A chain with a gap, or a delta without a base.
package struct BrokenChain: Error, Hashable, Sendable, CustomStringConvertible {
    /// The link that does not fit.
    package let seq: Int64

    package init(seq: Int64) {
        self.seq = seq
    }

    package var description: String { "the snapshot of turn \(self.seq) does not continue the chain" }
}

/// A link whose body has changed since it was stored.
package struct DamagedSnapshot: Error, Hashable, Sendable, CustomStringConvertible {
    /// The link.
    package let seq: Int64

    package init(seq: Int64) {
        self.seq = seq
    }

    package var description: String {
        "the snapshot of turn \(self.seq) is not what was stored; fork the conversation from an earlier turn, or restore "
            + "the database"
    }
}
