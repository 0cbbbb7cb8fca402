/// Which model backend served a call: opaque, 1 to 200 visible ASCII characters, so that it can go into a header as it
/// is.
package struct BackendID: Hashable, Sendable, CustomStringConvertible {
    /// The name as the backend gave it.
    package let text: String

    /// Nil for a name that could not be sent back.
    package init?(_ text: String) {
        guard (1...200).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            return nil
        }
        self.text = text
    }

    package var description: String { self.text }
}

/// A conversation is served by another backend than before, or by its first: the members of the event `backend`.
package struct BackendSwitch: Hashable, Sendable {
    /// Who serves it now.
    package let id: BackendID
    /// Who did before; nil for the first.
    package let previous: BackendID?
    /// The name under which a backend keeps what it knows of the conversation: what the switch costs.
    package let cacheKey: String?

    package init(id: BackendID, previous: BackendID? = nil, cacheKey: String? = nil) {
        self.id = id
        self.previous = previous
        self.cacheKey = cacheKey
    }

    var json: JSONValue {
        var members: [String: JSONValue] = ["id": .string(self.id.text)]
        if let previous = self.previous { members["previous"] = .string(previous.text) }
        if let key = self.cacheKey { members["cache_key"] = .string(key) }
        return .object(members)
    }
}

/// Follows the backend of one conversation, as a value: says what to read and what to write, one thing at a time.
///
/// What it remembers is what was written: the hint for the next call. Sightings that overlap are taken in the order in
/// which they come, and the latest wins, also when it is the one that is remembered while another is being written. A
/// write that fails changes nothing; the next sighting, or the turn's end, tries again. A hint binds nobody, and is not
/// given for ever: a backend that had no room, or that has served nothing for long, is not hinted at until it serves again.
package struct BackendTracker: Sendable, Hashable {
    /// What one call has shown.
    package struct Sighting: Sendable, Hashable {
        /// Who served it.
        package let backend: BackendID
        /// What the call named as its cache key.
        package let cacheKey: String?

        package init(_ backend: BackendID, cacheKey: String? = nil) {
            self.backend = backend
            self.cacheKey = cacheKey
        }
    }

    /// What its owner has to do next, and to report back.
    package enum Step: Sendable, Hashable {
        /// Read what is written; `wasRead` or `failed` follows.
        case read
        /// Write this; `wasWritten` or `failed` follows.
        case write(BackendSwitch)
    }

    private enum Memory: Sendable, Hashable {
        case unread
        case read(BackendID?)
    }

    private var memory = Memory.unread
    private var latest: Sighting?
    /// How many sightings there were, and at which of them the step under way began.
    private var seen = 0
    private var begun = 0
    private var step: Step?
    /// Whether a call of this turn has shown who served it.
    private var isSeen = false
    /// Why what is remembered is no hint until a call shows again who served it.
    private var passedOver: Withheld?

    /// Why a backend that is known is not hinted at.
    package enum Withheld: String, Sendable, Hashable {
        /// It served so long ago that it keeps nothing of the conversation any more.
        case stale
        /// The last call that hinted at it was refused or not answered in time: another may have room.
        case overloaded
    }

    package init() {}

    /// What was written last, as far as it is known.
    package var kept: BackendID? {
        guard case .read(let kept) = self.memory else { return nil }
        return kept
    }

    /// What to hint at with the next call.
    package var hint: BackendID? { self.passedOver == nil ? self.kept : nil }

    /// A turn begins.
    package mutating func begin() {
        self.isSeen = false
    }

    /// Takes over what is written. Only the first time counts: from then on nobody else writes. `isStale`: nobody has asked
    /// it for long. Returns whether that is news.
    @discardableResult
    package mutating func remember(_ backend: BackendID?, isStale: Bool = false) -> Bool {
        if case .unread = self.memory { self.memory = .read(backend) }
        return isStale && !self.isSeen && self.pass(over: .stale)
    }

    /// A call that hinted at what is remembered found no room. Returns whether that is news.
    package mutating func foundNoRoom() -> Bool {
        self.pass(over: .overloaded)
    }

    private mutating func pass(over reason: Withheld) -> Bool {
        guard self.hint != nil else { return false }
        self.passedOver = reason
        return true
    }

    /// A call showed who served it.
    package mutating func saw(_ sighting: Sighting) -> Step? {
        (self.isSeen, self.passedOver) = (true, nil)
        self.latest = sighting
        self.seen += 1
        return self.next()
    }

    /// What is written has been read.
    package mutating func wasRead(_ backend: BackendID?) -> Step? {
        self.remember(backend)
        self.step = nil
        return self.next()
    }

    /// The write under way is in force.
    package mutating func wasWritten() -> Step? {
        if case .write(let change) = self.step { self.memory = .read(change.id) }
        self.step = nil
        return self.next()
    }

    /// The step under way had no effect. Only what was seen since then is tried at once.
    package mutating func failed() -> Step? {
        self.step = nil
        return self.seen > self.begun ? self.next() : nil
    }

    /// No more sightings will come for now: tries once more what could not be written.
    package mutating func flush() -> Step? {
        self.next()
    }

    private mutating func next() -> Step? {
        guard self.step == nil, let latest = self.latest else { return nil }
        switch self.memory {
        case .unread: self.step = .read
        case .read(let kept):
            guard latest.backend != kept else { return nil }
            self.step = .write(BackendSwitch(id: latest.backend, previous: kept, cacheKey: latest.cacheKey))
        }
        self.begun = self.seen
        return self.step
    }
}
