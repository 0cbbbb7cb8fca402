package import Domain
import Store

extension Tenant {
    /// Schedules in the order of their names, after `after`, at most `limit`.
    package func schedules(after: String?, limit: Int) async throws -> [ScheduleRecord] {
        try await reaching { try await self.store.schedules(after: after, limit: limit) }
    }

    /// One schedule. Throws `notFound`.
    package func schedule(_ id: ScheduleID) async throws -> ScheduleRecord {
        guard let found = try await reaching({ try await self.store.schedule(id) }) else {
            throw GatewayError.notFound("schedule")
        }
        return found
    }

    /// Creates or replaces a schedule; idempotent. Its runs are submitted with the token `submitter`, and end with it. Throws
    /// `invalid` and `limitReached`.
    package func putSchedule(
        _ id: ScheduleID,
        _ schedule: Schedule,
        submitter: TokenID
    ) async throws -> ScheduleRecord {
        if let problem = schedule.problem(as: id) { throw GatewayError.invalid(member: "schedule", problem: problem) }
        let next = try await self.next(of: schedule)
        let limit = self.limits.schedulesPerOrganization
        let put = try await reaching {
            try await self.store.put(
                id,
                schedule,
                next: schedule.isPaused ? nil : next,
                submitter: submitter,
                atMost: limit
            )
        }
        guard let put else { throw GatewayError.limitReached("schedules of an organization", limit: limit) }
        return put
    }

    /// Has a schedule rest or go on; again changes nothing. Throws `notFound`.
    package func pauseSchedule(_ id: ScheduleID, _ isPaused: Bool) async throws -> ScheduleRecord {
        let next = try await self.next(of: try await self.schedule(id).schedule)
        let paused = try await reaching {
            try await self.store.pause(id, isPaused, next: isPaused ? nil : next)
        }
        guard let paused else { throw GatewayError.notFound("schedule") }
        return paused
    }

    /// Deletes a schedule; the conversations of its runs stay. Throws `notFound`.
    package func deleteSchedule(_ id: ScheduleID) async throws {
        guard try await reaching({ try await self.store.deleteSchedule(id) }) else {
            throw GatewayError.notFound("schedule")
        }
    }

    /// The first time of a schedule from now on, in seconds since 1970.
    private func next(of schedule: Schedule) async throws -> Int64 {
        guard let clock = ZoneClock(schedule.timeZone) else {
            throw GatewayError.invalid(member: "time_zone", problem: "must be UTC or a name such as Europe/Berlin")
        }
        let now = try await reaching { try await self.store.now }
        guard let next = schedule.cron.next(after: now, offset: clock.offset) else {
            throw GatewayError.invalid(member: "cron", problem: "names a day that no calendar has")
        }
        return next
    }
}
