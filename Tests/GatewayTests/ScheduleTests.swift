import Domain
import Postgres
import Store
import TestKit
import Testing

@testable import Gateway

@Suite("Schedules on several replicas")
struct ScheduleTests {
    @Test("three replicas begin each run once, and its turn is performed")
    func once() async throws {
        try await GatewayFixture.with({
            $0.replicas = 3
            $0.limits.schedulePoll = .milliseconds(20)
        }) { fixture in
            let agent = try await fixture.agent("echo", "echo")
            let tenant = fixture.gateway.tenant(fixture.org)
            for index in 0..<5 {
                let schedule = Schedule(
                    agent: agent,
                    cron: try CronExpression("* * * * *"),
                    timeZone: "Europe/Berlin",
                    catchUp: .all,
                    input: TurnInput(text: "look"),
                    // So that none begins before all of them do, should a minute end meanwhile.
                    isPaused: true
                )
                _ = try await tenant.putSchedule(try ScheduleID("s\(index)"), schedule, submitter: freshID())
            }
            // As if the times of the last three minutes had been missed.
            _ = try await fixture.pool.query(
                """
                UPDATE turnpike.schedules
                SET paused = false, next_at = date_trunc('minute', now()) - interval '2 min', ready_at = now()
                """
            )
            try await eventually("the runs to end", within: .seconds(30)) {
                try await fixture.count("SELECT count(*) FROM turnpike.outcomes WHERE state = 'completed'") >= 15
            }
            let twice: Query = """
                SELECT count(*) FROM (SELECT FROM turnpike.turns
                    GROUP BY metadata ->> 'schedule', metadata ->> 'scheduled_for' HAVING count(*) > 1) t
                """
            #expect(try await fixture.count(twice) == 0, "a time was run twice")
            let strays: Query = """
                SELECT count(*) FROM turnpike.conversations c JOIN turnpike.turns t ON t.conversation_id = c.id
                WHERE c.conversation NOT LIKE 'echo\\_watcher\\_s_\\_run\\__' OR t.seq <> 1
                """
            #expect(try await fixture.count(strays) == 0, "a run has a conversation of its own")
        }
    }

    @Test("a zone that does not exist and a day that never comes are refused")
    func refused() async throws {
        try await GatewayFixture.with { fixture in
            let tenant = fixture.gateway.tenant(fixture.org)
            for (cron, zone, member) in [
                ("0 0 30 2 *", "UTC", "cron"), ("@daily", "Europe/Nowhere", "time_zone"), ("@daily", "", "time_zone"),
                ("@daily", "../../etc/passwd", "time_zone"),
            ] {
                let schedule = Schedule(
                    agent: try AgentID("echo"),
                    cron: try CronExpression(cron),
                    timeZone: zone,
                    catchUp: .skip,
                    input: TurnInput(text: "x"),
                    isPaused: false
                )
                do {
                    _ = try await tenant.putSchedule(try ScheduleID("s"), schedule, submitter: freshID())
                    Issue.record("\(cron) in \(zone) was taken")
                } catch GatewayError.invalid(let named, _) {
                    #expect(named == member)
                }
            }
        }
    }
}
