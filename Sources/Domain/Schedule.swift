/// A schedule's name within its organization.
package typealias ScheduleID = Name<Schedule>

/// What becomes of runs whose time passed while nobody could begin them.
package enum CatchUp: String, Sendable, Hashable, CaseIterable {
    /// They are left out.
    case skip
    /// One takes the place of them all.
    case once
    /// Each is made up for, the newest ones as far as there are too many.
    case all
}

/// Turns that recur: an agent is told the same at certain times, each time in a conversation of its own.
package struct Schedule: Sendable, Hashable {
    /// The agent that is told.
    package var agent: AgentID
    /// When.
    package var cron: CronExpression
    /// Whose clocks: a name of the IANA's database.
    package var timeZone: String
    /// What becomes of missed runs.
    package var catchUp: CatchUp
    /// What the agent is told.
    package var input: TurnInput
    /// Whether it rests. What would have come meanwhile counts as not missed.
    package var isPaused: Bool

    package init(
        agent: AgentID,
        cron: CronExpression,
        timeZone: String,
        catchUp: CatchUp,
        input: TurnInput,
        isPaused: Bool
    ) {
        self.agent = agent
        self.cron = cron
        self.timeZone = timeZone
        self.catchUp = catchUp
        self.input = input
        self.isPaused = isPaused
    }

    /// Room for `_watcher_`, `_run_` and the number in a conversation's name.
    private static let longestNames = 128 - 14 - 19

    /// What is wrong with it under the name `id`, as the rest of a sentence; nil when it can be stored.
    package func problem(as id: ScheduleID) -> String? {
        let length = id.text.utf8.count + self.agent.text.utf8.count
        return length > Self.longestNames
            ? "must not be longer than \(Self.longestNames) characters together with the agent's name" : nil
    }

    /// The conversation of the run `number`.
    package static func conversation(
        _ id: ScheduleID,
        agent: AgentID,
        run number: Int64
    ) throws(InvalidName) -> ConversationID {
        try ConversationID("\(agent)_watcher_\(id)_run_\(number)")
    }
}

/// What a schedule that is due does now.
package struct Firing: Sendable, Hashable {
    /// The times whose runs begin now, oldest first.
    package let runs: [Int64]
    /// When it is due again; nil for never.
    package let next: Int64?

    /// A run that is no later than this many seconds has not been missed.
    package static let grace: Int64 = 60
    /// So many missed runs are made up for at once.
    package static let most = 25
    /// What was missed longer ago, in seconds, is not made up for.
    package static let horizon: Int64 = 31 * 86_400

    /// Decides about a schedule that is due since `due`, at `now`; `next` gives the first time after another.
    package init(due: Int64, now: Int64, catchUp: CatchUp, next: (Int64) -> Int64?) {
        self.next = next(now)
        guard due < now - Self.grace else {
            // On time. Of two that fall into the grace both are.
            self.runs = Self.times(from: due, to: now, next)
            return
        }
        switch catchUp {
        case .skip:
            self.runs = next(now - Self.grace - 1).map { Self.times(from: $0, to: now, next) } ?? []
        case .once:
            self.runs = [due]
        case .all:
            let first = due >= now - Self.horizon ? due : next(now - Self.horizon) ?? due
            self.runs = Array(Self.times(from: first, to: now, next).suffix(Self.most))
        }
    }

    private static func times(from first: Int64, to last: Int64, _ next: (Int64) -> Int64?) -> [Int64] {
        var times: [Int64] = []
        var time: Int64? = first
        while let current = time, current <= last {
            times.append(current)
            time = next(current)
        }
        return times
    }
}

/// A schedule as it is stored.
package struct ScheduleRecord: Sendable, Hashable {
    /// Its name.
    package var id: ScheduleID
    /// What it says.
    package var schedule: Schedule
    /// How many runs it has begun.
    package var runs: Int64
    /// When the next one begins, RFC 3339 in UTC; nil while it is paused.
    package var nextAt: String?
    /// The time of the last run, RFC 3339 in UTC; nil before the first.
    package var lastAt: String?
    /// The turn of the last run.
    package var lastTurn: TurnID?
    /// Why it does not run, for programs; nil when it does.
    package var problem: String?
    /// When it was made, RFC 3339 in UTC.
    package var createdAt: String
    /// When it was last changed, RFC 3339 in UTC.
    package var updatedAt: String

    package init(
        id: ScheduleID,
        schedule: Schedule,
        runs: Int64,
        nextAt: String?,
        lastAt: String?,
        lastTurn: TurnID?,
        problem: String?,
        createdAt: String,
        updatedAt: String
    ) {
        self.id = id
        self.schedule = schedule
        self.runs = runs
        self.nextAt = nextAt
        self.lastAt = lastAt
        self.lastTurn = lastTurn
        self.problem = problem
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}
