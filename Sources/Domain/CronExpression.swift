/// Why a schedule cannot be.
package struct InvalidSchedule: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, as the rest of a sentence that begins with what is wrong.
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// When something recurs, in the five fields of cron: minute, hour, day of the month, month, day of the week.
///
/// A field is `*`, a value, a range `a-b`, either with a step `/n`, or a list of these; months and days have their English
/// names' first three letters as well, and 7 is Sunday as 0 is. Where both kinds of days are restricted, one of them is
/// enough. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are short for what they say.
///
/// Where clocks are changed: an hour field that begins with `*` follows the time that passes, so what falls into an hour
/// that is skipped does not come, and what falls into one that is repeated comes twice. A fixed hour comes once a day: at
/// its first occurrence or, where it is skipped, later by what the clocks were put forward.
package struct CronExpression: Sendable, Hashable {
    /// As it was written.
    package let text: String
    private let minutes: UInt64
    private let hours: UInt64
    private let days: UInt64
    private let months: UInt64
    private let weekdays: UInt64
    /// Both kinds of days are restricted.
    private let isEitherDay: Bool
    private let followsElapsedTime: Bool

    private static let shorthands = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
    ]

    private struct Field {
        let name: String
        let range: ClosedRange<Int>
        var names: [String] = []

        static let minute = Field(name: "minute", range: 0...59)
        static let hour = Field(name: "hour", range: 0...23)
        static let day = Field(name: "day", range: 1...31)
        static let month = Field(
            name: "month",
            range: 1...12,
            names: ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
        )
        static let weekday = Field(
            name: "day of the week",
            range: 0...7,
            names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
        )

        /// The values as bits.
        func bits(_ text: Substring) throws(InvalidSchedule) -> UInt64 {
            var bits: UInt64 = 0
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
                guard (1...2).contains(pieces.count) else { throw self.refusal(part) }
                var values = self.range
                if pieces[0] != "*" {
                    let ends = pieces[0].split(separator: "-", omittingEmptySubsequences: false)
                    guard (1...2).contains(ends.count), let first = self.value(ends[0]) else {
                        throw self.refusal(part)
                    }
                    let last: Int? =
                        ends.count == 2 ? self.value(ends[1]) : pieces.count == 2 ? self.range.upperBound : first
                    guard let last, first <= last else { throw self.refusal(part) }
                    values = first...last
                }
                var step = 1
                if pieces.count == 2 {
                    guard let number = Self.number(pieces[1]), number > 0 else { throw self.refusal(part) }
                    step = number
                }
                for value in stride(from: values.lowerBound, through: values.upperBound, by: step) {
                    bits |= 1 << UInt64(value)
                }
            }
            return bits
        }

        private func value(_ text: Substring) -> Int? {
            let value = Self.number(text) ?? self.names.firstIndex(of: text.lowercased())
            return value.flatMap { self.range.contains($0) ? $0 : nil }
        }

        private static func number(_ text: Substring) -> Int? {
            guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                return nil
            }
            return Int(text)
        }

        private func refusal(_ part: Substring) -> InvalidSchedule {
            InvalidSchedule("has \"\(part.prefix(20))\" for the \(self.name)")
        }
    }

    package init(_ text: String) throws(InvalidSchedule) {
        let fields = (Self.shorthands[text] ?? text).split(separator: " ")
        guard fields.count == 5, text.utf8.count <= 200 else {
            throw InvalidSchedule("must have five fields: minute, hour, day of the month, month, day of the week")
        }
        self.text = text
        self.minutes = try Field.minute.bits(fields[0])
        self.hours = try Field.hour.bits(fields[1])
        self.days = try Field.day.bits(fields[2])
        self.months = try Field.month.bits(fields[3])
        let weekdays = try Field.weekday.bits(fields[4])
        self.weekdays = weekdays | (weekdays >> 7 & 1)
        self.isEitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        self.followsElapsedTime = fields[1].hasPrefix("*")
    }

    // MARK: - The next time

    private static let secondsPerDay: Int64 = 86_400
    /// From one 29th of February to the next it can be eight years.
    private static let daysAhead: Int64 = 8 * 366 + 2
    /// No place is further from Greenwich than this, and a day.
    private static let farthest: Int64 = 16 * 3_600

    /// The first time after `time`, in seconds since 1970; nil when there is none. `offset` says how far a zone's clocks
    /// are ahead of Greenwich at a time, in seconds.
    package func next(after time: Int64, offset: (Int64) -> Int64) -> Int64? {
        let (today, _) = Self.divide(time + offset(time), by: Self.secondsPerDay)
        for day in (today - 1)...(today + Self.daysAhead) {
            guard let found = self.first(of: day, after: time, offset) else { continue }
            // A time of this day that was skipped may come after one of the next.
            return min(found, self.first(of: day + 1, after: time, offset) ?? found)
        }
        return nil
    }

    /// The first time of a local day, counted from 1970, after `time`.
    private func first(of day: Int64, after time: Int64, _ offset: (Int64) -> Int64) -> Int64? {
        guard self.includes(day) else { return nil }
        let start = day * Self.secondsPerDay
        let (before, after) = (offset(start - Self.farthest), offset(start + Self.secondsPerDay + Self.farthest))
        let minutes = Self.values(self.minutes)
        var first: Int64?
        for hour in Self.values(self.hours) {
            for minute in minutes {
                let local = start + Int64(hour * 3_600 + minute * 60)
                if before == after {
                    // In order, so the first is the one.
                    if local - before > time { return local - before }
                } else {
                    let times = self.times(local, before, after, offset).filter { $0 > time }
                    first = (times + [first].compactMap { $0 }).min()
                }
            }
        }
        return first
    }

    /// The times at which the clocks show `local` on a day on which they are changed, or that stand for it.
    private func times(_ local: Int64, _ before: Int64, _ after: Int64, _ offset: (Int64) -> Int64) -> [Int64] {
        let times = [before, after].filter { offset(local - $0) == $0 }.map { local - $0 }.sorted()
        if self.followsElapsedTime { return times }
        return Array((times.isEmpty ? [local - before] : times).prefix(1))
    }

    private static func values(_ bits: UInt64) -> [Int] {
        (0..<60).filter { bits >> UInt64($0) & 1 == 1 }
    }

    private func includes(_ day: Int64) -> Bool {
        let (month, dayOfMonth) = Self.civil(day)
        // The first day of 1970 was a Thursday.
        let weekday = Self.divide(day + 4, by: 7).remainder
        guard self.months >> UInt64(month) & 1 == 1 else { return false }
        let byDate = self.days >> UInt64(dayOfMonth) & 1 == 1
        let byWeekday = self.weekdays >> UInt64(weekday) & 1 == 1
        return self.isEitherDay ? byDate || byWeekday : byDate && byWeekday
    }

    /// Month and day of the month, in the Gregorian calendar, of a day counted from 1970.
    private static func civil(_ day: Int64) -> (month: Int64, day: Int64) {
        // Years that begin in March: the leap day is the last one, and eras of 400 years are all alike.
        let dayOfEra = self.divide(day + 719_468, by: 146_097).remainder
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        return (month < 10 ? month + 3 : month - 9, dayOfYear - (153 * month + 2) / 5 + 1)
    }

    private static func divide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
