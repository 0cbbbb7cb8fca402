package import Domain
import Postgres

extension TenantStore {
    private static let columns = """
        schedule, agent, cron, time_zone, catch_up, input, paused, runs, last_turn, \(Schedule.problemColumn) AS problem,
            \(SQLTime.text("next_at")) AS next_at, \(SQLTime.text("last_at")) AS last_at,
            \(SQLTime.text("created_at")) AS created_at, \(SQLTime.text("updated_at")) AS updated_at
        """

    /// Schedules by name, after `after`, at most `limit`.
    package func schedules(after: String?, limit: Int) async throws -> [ScheduleRecord] {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns) FROM turnpike.schedules
            WHERE org = \(self.org.text)::text AND deleted_at IS NULL AND schedule > coalesce(\(after)::text, '')
            ORDER BY schedule LIMIT \(limit)::integer
            """
        ).map(Self.schedule)
    }

    /// One schedule.
    package func schedule(_ id: ScheduleID) async throws -> ScheduleRecord? {
        try await self.pool.query(
            """
            SELECT \(unescaped: Self.columns) FROM turnpike.schedules
            WHERE org = \(self.org.text)::text AND schedule = \(id.text)::text AND deleted_at IS NULL
            """
        ).first.map(Self.schedule)
    }

    /// The time by PostgreSQL's clock, in seconds since 1970: nobody's data.
    package var now: Int64 {
        get async throws {
            let rows = try await self.pool.query("SELECT extract(epoch FROM now())::bigint AS now")
            guard let row = rows.first else { throw PostgresError(.decoding, "no time came back") }
            return try row.get("now")
        }
    }

    /// Creates or replaces a schedule whose next run is at `next`, in seconds since 1970. A schedule that was and stays at
    /// work with the same times keeps the run that it is due for. One that is set up in a web session runs as long as the
    /// token that opened it is good. Nil when the organization has `limit` others.
    package func put(
        _ id: ScheduleID,
        _ schedule: Schedule,
        next: Int64?,
        submitter: TokenID,
        atMost limit: Int
    ) async throws -> ScheduleRecord? {
        let input = try StoredJSON.text(schedule.input.parts)
        let details: [String: JSONValue] = [
            "agent": .string(schedule.agent.text), "cron": .string(schedule.cron.text),
            "time_zone": .string(schedule.timeZone),
        ]
        // The second statement counts what others had put who held the row before.
        let results = try await self.pool.pipeline([
            "SELECT FROM turnpike.organizations WHERE org = \(self.org.text)::text FOR NO KEY UPDATE",
            """
            WITH put AS (
                INSERT INTO turnpike.schedules AS s
                    (org, schedule, agent, cron, time_zone, catch_up, input, paused, submitter, next_at, ready_at)
                SELECT \(self.org.text)::text, \(id.text)::text, \(schedule.agent.text)::text,
                    \(schedule.cron.text)::text, \(schedule.timeZone)::text, \(schedule.catchUp.rawValue)::text,
                    \(input)::jsonb, \(schedule.isPaused)::boolean,
                    coalesce((SELECT t.parent FROM turnpike.tokens t WHERE t.org = \(self.org.text)::text
                        AND t.token = \(submitter.text)::uuid), \(submitter.text)::uuid),
                    to_timestamp(\(next)::bigint), to_timestamp(\(next)::bigint)
                WHERE (SELECT count(*) FROM turnpike.schedules o WHERE o.org = \(self.org.text)::text
                    AND o.schedule <> \(id.text)::text AND o.deleted_at IS NULL) < \(limit)::integer
                ON CONFLICT (org, schedule) DO UPDATE
                SET agent = excluded.agent, cron = excluded.cron, time_zone = excluded.time_zone,
                    catch_up = excluded.catch_up, input = excluded.input, paused = excluded.paused,
                    submitter = excluded.submitter, updated_at = now(), deleted_at = NULL,
                    next_at = CASE WHEN turnpike.keeps_time(s, excluded) THEN s.next_at ELSE excluded.next_at END,
                    ready_at = CASE WHEN turnpike.keeps_time(s, excluded) THEN s.ready_at ELSE excluded.ready_at END
                RETURNING s.*
            ), \(auditing: try self.entry(.schedulePut, id.text, details), of: "put")
            SELECT \(unescaped: Self.columns) FROM put
            """,
        ])
        return try results[1].first.map(Self.schedule)
    }

    /// Has a schedule rest, or, with the time of its next run, go on. Nil when there is no such schedule.
    package func pause(_ id: ScheduleID, _ isPaused: Bool, next: Int64?) async throws -> ScheduleRecord? {
        let entry = try self.entry(isPaused ? .schedulePause : .scheduleResume, id.text)
        return try await self.pool.query(
            """
            WITH changed AS (
                SELECT schedule FROM turnpike.schedules
                WHERE org = \(self.org.text)::text AND schedule = \(id.text)::text AND deleted_at IS NULL
                    AND paused <> \(isPaused)::boolean
            ), written AS (
                UPDATE turnpike.schedules s
                SET paused = \(isPaused)::boolean, updated_at = now(),
                    next_at = CASE WHEN s.paused OR \(isPaused)::boolean THEN to_timestamp(\(next)::bigint)
                        ELSE s.next_at END,
                    ready_at = CASE WHEN s.paused OR \(isPaused)::boolean THEN to_timestamp(\(next)::bigint)
                        ELSE s.ready_at END
                WHERE org = \(self.org.text)::text AND schedule = \(id.text)::text AND deleted_at IS NULL
                RETURNING s.*
            ), \(auditing: entry, of: "changed")
            SELECT \(unescaped: Self.columns) FROM written
            """
        ).first.map(Self.schedule)
    }

    /// Deletes a schedule; the conversations of its runs stay. Returns whether there was one.
    package func deleteSchedule(_ id: ScheduleID) async throws -> Bool {
        try await !self.pool.query(
            """
            WITH deleted AS (
                UPDATE turnpike.schedules SET deleted_at = now(), next_at = NULL, ready_at = NULL
                WHERE org = \(self.org.text)::text AND schedule = \(id.text)::text AND deleted_at IS NULL
                RETURNING schedule
            ), \(auditing: try self.entry(.scheduleDelete, id.text), of: "deleted")
            SELECT schedule FROM deleted
            """
        ).isEmpty
    }

    private static func schedule(_ row: Row) throws -> ScheduleRecord {
        ScheduleRecord(
            id: try ScheduleID(row.get("schedule")),
            schedule: try Schedule(row),
            runs: try row.get("runs"),
            nextAt: try row.get("next_at"),
            lastAt: try row.get("last_at"),
            lastTurn: try row.optionalID("last_turn"),
            problem: try row.get("problem"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at")
        )
    }
}

extension Schedule {
    /// Why a schedule may not run: the token that set it up is good no more; null when it may. Of what an identity provider
    /// vouched for nothing is known here.
    static let problemColumn = """
        (SELECT CASE WHEN p.revoked_at IS NOT NULL THEN 'token_revoked' WHEN p.expires_at <= now() THEN 'token_expired' END
            FROM turnpike.tokens t JOIN turnpike.tokens p ON p.token = coalesce(t.parent, t.token)
            WHERE t.token = submitter)
        """

    /// What a row says of the schedule itself.
    init(_ row: Row) throws {
        guard let catchUp = CatchUp(rawValue: try row.get("catch_up")) else {
            throw PostgresError(.decoding, "unknown catch_up")
        }
        self.init(
            agent: try AgentID(row.get("agent")),
            cron: try CronExpression(row.get("cron")),
            timeZone: try row.get("time_zone"),
            catchUp: catchUp,
            input: TurnInput(parts: try StoredJSON.value(row.get("input"))),
            isPaused: try row.get("paused")
        )
    }
}
