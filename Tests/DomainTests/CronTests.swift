import Domain
import Foundation
import Testing

@Suite("When schedules run")
struct CronTests {
    /// The clocks of a zone, from the system's own database.
    private static func offset(_ zone: String) throws -> (Int64) -> Int64 {
        let zone = try #require(TimeZone(identifier: zone))
        return { Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval($0)))) }
    }

    private static func time(_ text: String) throws -> Int64 {
        Int64(try Date(text, strategy: .iso8601).timeIntervalSince1970)
    }

    private static func text(_ time: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(time)).formatted(.iso8601)
    }

    /// The next times after `start`.
    private static func times(_ cron: String, _ zone: String, after start: String, count: Int) throws -> [String] {
        let (cron, offset) = (try CronExpression(cron), try self.offset(zone))
        var (time, found): (Int64, [String]) = (try self.time(start), [])
        for _ in 0..<count {
            guard let next = cron.next(after: time, offset: offset) else { break }
            found.append(self.text(next))
            time = next
        }
        return found
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let cron: String
        let after: String
        let next: [String]
        var zone = "UTC"

        var testDescription: String { "\(self.cron) \(self.zone) \(self.after)" }
    }

    @Test(
        "the next times are those that the fields say",
        arguments: [
            Case(
                cron: "*/15 * * * *",
                after: "2026-01-31T23:40:00Z",
                next: ["2026-01-31T23:45:00Z", "2026-02-01T00:00:00Z"]
            ),
            Case(cron: "0 9 * * mon-fri", after: "2026-11-27T09:00:00Z", next: ["2026-11-30T09:00:00Z"]),
            Case(
                cron: "30 6,18 1 * *",
                after: "2026-11-26T00:00:00Z",
                next: ["2026-12-01T06:30:00Z", "2026-12-01T18:30:00Z"]
            ),
            Case(cron: "0 0 29 2 *", after: "2096-03-01T00:00:00Z", next: ["2104-02-29T00:00:00Z"]),
            Case(
                cron: "0 0 13 * 5",
                after: "2026-11-26T00:00:00Z",
                next: ["2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"]
            ),
            Case(cron: "0 0 */10 * 7", after: "2026-11-26T00:00:00Z", next: ["2027-01-31T00:00:00Z"]),
            Case(cron: "5-59/20 22-23 31 dec *", after: "2026-01-01T00:00:00Z", next: ["2026-12-31T22:05:00Z"]),
            Case(cron: "@weekly", after: "2026-11-26T00:00:00Z", next: ["2026-11-29T00:00:00Z"]),
            Case(
                cron: "0 9 * * *",
                after: "2026-07-01T00:00:00Z",
                next: ["2026-07-01T07:00:00Z"],
                zone: "Europe/Berlin"
            ),
            Case(
                cron: "0 9 * * *",
                after: "2026-12-01T00:00:00Z",
                next: ["2026-12-01T08:00:00Z"],
                zone: "Europe/Berlin"
            ),
            Case(
                cron: "0 0 1 1 *",
                after: "2026-12-30T00:00:00Z",
                next: ["2026-12-31T10:00:00Z"],
                zone: "Pacific/Kiritimati"
            ),
        ]
    )
    func next(_ one: Case) throws {
        #expect(try Self.times(one.cron, one.zone, after: one.after, count: one.next.count) == one.next)
    }

    @Test("a fixed time that is skipped comes later by as much, and one that comes twice is the first")
    func fixedTimes() throws {
        // Berlin, 29 March 2026: 02:00 becomes 03:00, which is 01:00 UTC.
        #expect(
            try Self.times("30 2 * * *", "Europe/Berlin", after: "2026-03-28T12:00:00Z", count: 2)
                == ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        )
        // 25 October 2026: 03:00 becomes 02:00, so 02:30 is 00:30 and 01:30 UTC.
        #expect(
            try Self.times("30 2 * * *", "Europe/Berlin", after: "2026-10-24T12:00:00Z", count: 2)
                == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        )
        // Half an hour is skipped on an island: 02:15 is the clocks' 02:45.
        #expect(
            try Self.times("15 2 * * *", "Australia/Lord_Howe", after: "2026-10-03T12:00:00Z", count: 2)
                == ["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"]
        )
    }

    @Test("an hour of * follows the time that passes, whatever the clocks do")
    func elapsedTime() throws {
        #expect(
            try Self.times("0 * * * *", "Europe/Berlin", after: "2026-03-28T23:30:00Z", count: 4)
                == ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"]
        )
        #expect(
            try Self.times("0 * * * *", "Europe/Berlin", after: "2026-10-24T22:30:00Z", count: 4)
                == ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]
        )
    }

    @Test("times only go forward, in every zone's odd days, and match a search minute by minute")
    func againstSearch() throws {
        for zone in ["Europe/Berlin", "America/New_York", "Asia/Beirut", "America/Havana", "Africa/Casablanca", "UTC"] {
            let offset = try Self.offset(zone)
            for (cron, minutes) in [("*/30 * * * *", [0, 30]), ("7 */3 * * *", [7])] {
                let expression = try CronExpression(cron)
                for start in [
                    "2026-03-06T00:00:00Z", "2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z", "2026-10-30T00:00:00Z",
                ] {
                    let first = try Self.time(start)
                    let expected = stride(from: first + 60, through: first + 4 * 86_400, by: 60).filter { time in
                        let local = time + offset(time)
                        let isHour = cron.hasPrefix("7") ? local / 3_600 % 24 % 3 == 0 : true
                        return isHour && minutes.contains(Int(local / 60 % 60))
                    }
                    var (time, found): (Int64, [Int64]) = (first, [])
                    while let next = expression.next(after: time, offset: offset), next <= first + 4 * 86_400 {
                        found.append(next)
                        time = next
                    }
                    #expect(found == expected, "\(cron) in \(zone) from \(start)")
                }
            }
        }
    }

    @Test(
        "what is no schedule is refused",
        arguments: [
            "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
            "a * * * *",
            "*/0 * * * *", "5-1 * * * *", "1- * * * *", "-1 * * * *", "1,,2 * * * *", "1/2/3 * * * *", "@never",
            "+1 * * * *",
            "* * * foo *", "99999 * * * *",
        ]
    )
    func refused(_ text: String) {
        #expect(throws: InvalidSchedule.self) { try CronExpression(text) }
    }

    @Test("a day that no calendar has never comes")
    func never() throws {
        #expect(try CronExpression("0 0 30 2 *").next(after: 0) { _ in 0 } == nil)
    }

    // MARK: - Catching up

    /// A schedule of every hour that is due since `hours` ago, at ten minutes past an hour.
    private func firing(_ catchUp: CatchUp, hours: Int64) throws -> (runs: [Int64], next: Int64?) {
        let cron = try CronExpression("0 * * * *")
        let now: Int64 = 1_000 * 3_600 + 600
        let firing = Firing(due: (1_000 - hours) * 3_600, now: now, catchUp: catchUp) {
            cron.next(after: $0) { _ in 0 }
        }
        return (firing.runs.map { $0 / 3_600 - 1_000 }, firing.next.map { $0 / 3_600 - 1_000 })
    }

    @Test("missed runs are left out, replaced by one, or made up for up to a bound")
    func catchUp() throws {
        #expect(try self.firing(.skip, hours: 5) == (runs: [], next: 1))
        #expect(try self.firing(.once, hours: 5) == (runs: [-5], next: 1))
        #expect(try self.firing(.all, hours: 5) == (runs: [-5, -4, -3, -2, -1, 0], next: 1))
        let many = try self.firing(.all, hours: 900)
        #expect(many.runs.count == Firing.most && many.runs.last == 0 && many.next == 1)
    }

    @Test("a run within the grace is on time, whatever the policy", arguments: CatchUp.allCases)
    func onTime(_ catchUp: CatchUp) throws {
        let cron = try CronExpression("*/5 * * * *")
        let firing = Firing(due: 3_000, now: 3_000 + Firing.grace, catchUp: catchUp) { cron.next(after: $0) { _ in 0 } }
        #expect(firing.runs == [3_000] && firing.next == 3_300)
        // Missed for long, and due again at this very moment: that one is not missed.
        let again = Firing(due: 300, now: 3_010, catchUp: .skip) { cron.next(after: $0) { _ in 0 } }
        #expect(again.runs == [3_000] && again.next == 3_300)
    }
}
