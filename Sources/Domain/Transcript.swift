/// What was said earlier in a conversation, as far as it was read: told to a worker that cannot get its state otherwise.
package struct Transcript: Sendable, Hashable {
    /// One earlier turn with its reply.
    package struct Exchange: Sendable, Hashable {
        /// Its number, counted from 1 within the conversation.
        package let seq: Int64
        /// The term in which it was performed; 0 when no holder ended it.
        package let epoch: Int64
        /// What the user sent, as text.
        package let input: String
        /// What the worker answered, or the part of it that came before a cancel.
        package let reply: String

        package init(seq: Int64, epoch: Int64, input: String, reply: String) {
            self.seq = seq
            self.epoch = epoch
            self.input = input
            self.reply = reply
        }

        fileprivate var bytes: Int { self.input.utf8.count + self.reply.utf8.count }
    }

    /// Oldest first.
    package let exchanges: [Exchange]
    /// Whether something that was said is not in it.
    package let isCut: Bool
    /// What the newest turn reported to have used.
    package let usage: JSONValue?

    /// For a conversation of which nothing may be told.
    package static let withheld = Transcript(exchanges: [], isCut: true, usage: nil)

    private init(exchanges: [Exchange], isCut: Bool, usage: JSONValue?) {
        self.exchanges = exchanges
        self.isCut = isCut
        self.usage = usage
    }

    /// Keeps what fits into `maximumBytes` of text, cutting the oldest. Of the newest turn something is always kept.
    package init(newestFirst: [Exchange], maximumBytes: Int, isCut: Bool = false, usage: JSONValue? = nil) {
        var kept: [Exchange] = []
        var room = maximumBytes
        for exchange in newestFirst {
            guard exchange.bytes > room else {
                kept.append(exchange)
                room -= exchange.bytes
                continue
            }
            if kept.isEmpty { kept.append(Self.shorten(exchange, to: maximumBytes)) }
            self.init(exchanges: kept.reversed(), isCut: true, usage: usage)
            return
        }
        self.init(exchanges: kept.reversed(), isCut: isCut, usage: usage)
    }

    /// Half of the bytes for each side; what one leaves is the other's.
    private static func shorten(_ exchange: Exchange, to bytes: Int) -> Exchange {
        let input = Self.prefix(exchange.input, max(bytes / 2, bytes - exchange.reply.utf8.count))
        let reply = Self.prefix(exchange.reply, bytes - input.utf8.count)
        return Exchange(seq: exchange.seq, epoch: exchange.epoch, input: input, reply: reply)
    }

    /// The longest beginning of whole characters.
    private static func prefix(_ text: String, _ bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var used = 0
        return String(
            text.prefix { character in
                used += character.utf8.count
                return used <= bytes
            }
        )
    }

    /// What was said after the term `epoch`.
    package func after(_ epoch: Int64) -> [Exchange] {
        self.exchanges.filter { $0.epoch > epoch }
    }
}

/// How a worker came by what was said before it started.
package enum WorkerContext: String, Sendable, Hashable, CaseIterable {
    /// Not at all: nothing had been said, or nothing of it could be told.
    case new
    /// From the state that a worker before it had handed over.
    case snapshot
    /// From a session of its own that it opened again.
    case loaded
    /// From the transcript, told with its first prompt.
    case seeded
}

/// What a worker knows when it begins: an entry of the log, so that no answer is out of context silently.
package struct ContextReport: Sendable, Hashable {
    /// How it came by it.
    package let context: WorkerContext
    /// Earlier turns that are told with the prompt.
    package let turns: Int
    /// Whether some that it should know are not told.
    package let isCut: Bool

    package init(context: WorkerContext, turns: Int = 0, isCut: Bool = false) {
        self.context = context
        self.turns = turns
        self.isCut = isCut
    }

    var json: JSONValue {
        ["context": .string(self.context.rawValue), "turns": .integer(Int64(self.turns)), "cut": .bool(self.isCut)]
    }
}
