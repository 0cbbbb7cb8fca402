/// The prepared statements of one session, by their text; the least recently used goes first.
///
/// Names are unique across sessions: behind a transaction pooler a plain counter could name another client's statement
/// and run it instead of failing.
struct StatementCache {
    static let capacity = 256

    /// Whether statements are prepared at all.
    private(set) var isEnabled: Bool
    private var names: [String: (name: String, lastUse: UInt64)] = [:]
    private var clock: UInt64 = 0
    private let prefix = "s" + String(UInt64.random(in: .min ... .max), radix: 36) + "_"

    init(isEnabled: Bool) {
        self.isEnabled = isEnabled
    }

    /// The name of a statement that is prepared.
    mutating func name(for sql: String) -> String? {
        self.clock += 1
        guard let index = self.names.index(forKey: sql) else { return nil }
        self.names.values[index].lastUse = self.clock
        return self.names.values[index].name
    }

    /// A new name, with the statement to give up for it when the cache is full.
    mutating func makeName() -> (name: String, evicted: String?) {
        self.clock += 1
        var evicted: String?
        if self.names.count >= Self.capacity, let oldest = self.names.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            self.names[oldest.key] = nil
            evicted = oldest.value.name
        }
        return (self.prefix + String(self.clock), evicted)
    }

    /// Records that the server has prepared `sql`.
    mutating func remember(_ sql: String, as name: String) {
        self.names[sql] = (name, self.clock)
    }

    /// Forgets everything: the session may be another one now.
    mutating func removeAll() {
        self.names = [:]
    }

    /// Forgets everything and prepares nothing any more.
    mutating func disable() {
        self.removeAll()
        self.isEnabled = false
    }

    var count: Int { self.names.count }
}
