import Domain

/// The newest events of a conversation that this replica owns, so that readers here need not ask the database for what
/// this replica has just written.
///
/// Without a gap by construction: what does not join on replaces what was there, and a change of unknown content
/// empties it. A reader whose place is not covered reads the database.
struct RecentEvents {
    /// Bytes of data that are kept.
    private static let mostBytes = 64 << 10

    private var events: [EventRecord] = []
    private var bytes = 0

    /// What a reader that has everything up to an event is to do.
    enum Coverage: Hashable {
        /// Take these.
        case events([EventRecord])
        /// Wait for a change.
        case upToDate
        /// Read the database.
        case unknown
    }

    /// The number of the newest event; nil when that is not known.
    var last: Int64? { self.events.last?.seq }

    mutating func clear() {
        self.events = []
        self.bytes = 0
    }

    /// Takes events that were just written, oldest first and without a gap. Writers report in any order.
    mutating func append(_ fresh: [EventRecord]) {
        guard let first = fresh.first, let last = self.last else { return self.replace(fresh) }
        if first.seq <= last { return }
        guard first.seq == last + 1 else { return self.replace(fresh) }
        self.events += fresh
        self.bytes += Self.size(fresh)
        if self.bytes > Self.mostBytes || self.events.count > 64 { self.replace(fresh) }
    }

    private mutating func replace(_ fresh: [EventRecord]) {
        self.clear()
        let size = Self.size(fresh)
        guard size <= Self.mostBytes else { return }
        self.events = fresh
        self.bytes = size
    }

    private static func size(_ events: [EventRecord]) -> Int {
        events.reduce(0) { $0 + $1.data.utf8.count }
    }

    func coverage(after cursor: Int64) -> Coverage {
        guard let first = self.events.first, let last = self.last, first.seq <= cursor + 1 else { return .unknown }
        // A cursor beyond the end was seen in the database: something is newer than what is here.
        guard cursor <= last else { return .unknown }
        return cursor == last ? .upToDate : .events(self.events.filter { $0.seq > cursor })
    }
}
