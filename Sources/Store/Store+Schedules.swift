package import Domain
import Postgres

/// A schedule that is due, locked for whoever is to begin its runs.
package struct DueSchedule: Sendable {
    /// The organization it belongs to.
    package let org: OrganizationID
    /// Its name.
    package let id: ScheduleID
    /// What it says.
    package let schedule: Schedule
    /// The time that it is due since, in seconds since 1970.
    package let due: Int64
    /// The time by PostgreSQL's clock, in seconds since 1970.
    package let now: Int64
    fileprivate let runs: Int64
    fileprivate let submitter: TokenID?
    /// Why it may not run any more.
    fileprivate let problem: String?
}

/// What became of a schedule that was due.
package struct FiredSchedule: Sendable, Hashable {
    /// The organization it belongs to.
    package let org: OrganizationID
    /// Its name.
    package let id: ScheduleID
    /// The turns that were accepted.
    package let turns: [TurnID]
    /// Why a run was not accepted. What a cap refused is tried again; a schedule that may not run waits for its next time.
    package let refusal: String?
}

extension Store {
    /// What a run waits for after it was refused.
    private static let refusedFor = 15

    /// Begins the runs of one schedule that is due, as `decide` says. The row is locked while that happens, and the turns
    /// are accepted in the transaction that moves the schedule on, so each run begins once, whoever tries at the same
    /// moment. Nil when no schedule is due that nobody else has. `newTurn` makes an identity.
    package func fireSchedule(
        _ decide: @Sendable (DueSchedule) -> Firing,
        newTurn: @Sendable () throws -> TurnID
    ) async throws -> FiredSchedule? {
        // Most looks find nothing, and are one statement, not a transaction.
        let look = try await self.pool.query("SELECT FROM turnpike.schedules WHERE ready_at <= now() LIMIT 1")
        guard !look.isEmpty else { return nil }
        return try await self.pool.withTransaction { connection in
            guard let due = try await Self.due(connection) else { return nil }
            let firing = decide(due)
            var (number, turns, refusal, next) = (due.runs, [TurnID](), String?.none, firing.next)
            for time in firing.runs where refusal == nil && due.problem == nil {
                let run = try await Self.begin(due, time, after: &number, newTurn, connection)
                switch run {
                case .accepted(let turn): turns.append(turn)
                case .refused(let reason): (refusal, next) = (reason, time)
                }
            }
            try await connection.query(
                """
                UPDATE turnpike.schedules
                SET runs = \(number)::bigint, next_at = to_timestamp(\(next)::bigint),
                    ready_at = CASE WHEN \(refusal != nil)::boolean
                        THEN now() + \(Self.refusedFor)::integer * interval '1 second'
                        ELSE to_timestamp(\(next)::bigint) END,
                    last_at = CASE WHEN \(turns.isEmpty)::boolean THEN last_at ELSE now() END,
                    last_turn = coalesce(\(turns.last?.text)::uuid, last_turn)
                WHERE org = \(due.org.text)::text AND schedule = \(due.id.text)::text
                """
            )
            return FiredSchedule(org: due.org, id: due.id, turns: turns, refusal: refusal ?? due.problem)
        }
    }

    private static func due(_ connection: PostgresConnection) async throws -> DueSchedule? {
        try await connection.query(
            """
            SELECT org, schedule, agent, cron, time_zone, catch_up, input, paused, runs, submitter,
                \(unescaped: Schedule.problemColumn) AS problem,
                extract(epoch FROM next_at)::bigint AS due, extract(epoch FROM now())::bigint AS now
            FROM turnpike.schedules WHERE ready_at <= now() ORDER BY ready_at LIMIT 1
            FOR UPDATE SKIP LOCKED
            """
        ).first.map { row in
            DueSchedule(
                org: try OrganizationID(row.get("org")),
                id: try ScheduleID(row.get("schedule")),
                schedule: try Schedule(row),
                due: try row.get("due"),
                now: try row.get("now"),
                runs: try row.get("runs"),
                submitter: try row.optionalID("submitter"),
                problem: try row.get("problem")
            )
        }
    }

    private enum Run {
        case accepted(TurnID)
        case refused(String)
    }

    /// Accepts the turn of the run at `time`, in the conversation of the next number that nobody has used and deleted.
    private static func begin(
        _ due: DueSchedule,
        _ time: Int64,
        after number: inout Int64,
        _ newTurn: () throws -> TurnID,
        _ connection: PostgresConnection
    ) async throws -> Run {
        while true {
            let name = try Schedule.conversation(due.id, agent: due.schedule.agent, run: number + 1)
            let turn = try newTurn()
            let row = try await connection.query(
                """
                SELECT verdict, coalesce(refused_by, verdict) AS reason FROM turnpike.enqueue_turn(
                    p_agent => \(due.schedule.agent.text)::text,
                    p_input => \(try StoredJSON.text(due.schedule.input.parts))::jsonb,
                    p_org => \(due.org.text)::text,
                    p_conversation => \(name.text)::text,
                    p_run => gen_random_uuid(),
                    p_turn => \(turn.text)::uuid,
                    p_metadata => jsonb_build_object('schedule', \(due.id.text)::text, 'scheduled_for',
                        (SELECT \(unescaped: SQLTime.text("s.at")) FROM to_timestamp(\(time)::bigint) AS s (at))),
                    p_submitter => \(due.submitter?.text)::uuid)
                """
            ).first
            switch try row?.get("verdict", as: String.self) {
            case "accepted":
                number += 1
                return .accepted(turn)
            case "deleted": number += 1
            default: return .refused(try row?.get("reason") ?? "no verdict")
            }
        }
    }
}
