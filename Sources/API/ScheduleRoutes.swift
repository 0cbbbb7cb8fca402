import Domain
import Gateway
import HTTP

/// Turns that recur.
struct ScheduleRoutes: Sendable {
    private static let members = ["agent", "cron", "time_zone", "catch_up", "input", "paused"]

    /// `GET /v1/schedules?after=&limit=`
    func list(_ call: Call) async throws -> Response {
        let query = try call.query("after", "limit")
        let limit = Int(try query.integer("limit", in: 1...200) ?? 50)
        if let after = query["after"] { _ = try Self.name(after, ScheduleID.self, "after") }
        // One more than asked for tells whether there is a next page.
        let found = try await call.tenant.schedules(after: query["after"], limit: limit + 1)
        let page = Array(found.prefix(limit))
        return .json(
            JSONWriter.object(capacity: 4_096) { json in
                json.member("schedules", objects: page) { $0.members(of: $1) }
                json.member("next", found.count > limit ? page.last?.id.text : nil)
            }
        )
    }

    /// `GET /v1/schedules/{schedule}`
    func show(_ call: Call) async throws -> Response {
        _ = try call.query()
        return Self.response(try await call.tenant.schedule(call.name("schedule")))
    }

    /// `PUT /v1/schedules/{schedule}`: the whole schedule; what is left out has its default.
    func put(_ call: Call) async throws -> Response {
        _ = try call.query()
        let id = try call.name("schedule", ScheduleID.self)
        let schedule = try Self.schedule(call.json())
        return Self.response(try await call.tenant.putSchedule(id, schedule, submitter: call.principal.token))
    }

    /// `DELETE /v1/schedules/{schedule}`
    func delete(_ call: Call) async throws -> Response {
        _ = try call.query()
        try await call.tenant.deleteSchedule(call.name("schedule"))
        return Response(status: 204)
    }

    /// `POST /v1/schedules/{schedule}/pause`
    func pause(_ call: Call) async throws -> Response {
        try await self.pause(call, true)
    }

    /// `POST /v1/schedules/{schedule}/resume`
    func resume(_ call: Call) async throws -> Response {
        try await self.pause(call, false)
    }

    private func pause(_ call: Call, _ isPaused: Bool) async throws -> Response {
        _ = try call.query()
        try call.refuseBody()
        return Self.response(try await call.tenant.pauseSchedule(call.name("schedule"), isPaused))
    }

    // MARK: - Body

    private static func schedule(_ json: JSONValue) throws(APIError) -> Schedule {
        let members = try JSONMembers(json, known: self.members)
        guard let input = members["input"] else { throw .invalid("input", "is missing") }
        guard let cron = try members.text("cron") else { throw .invalid("cron", "is missing") }
        let catchUp = try members.text("catch_up") ?? CatchUp.skip.rawValue
        guard let catchUp = CatchUp(rawValue: catchUp) else {
            throw .invalid("catch_up", "must be \(CatchUp.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return Schedule(
            agent: try self.name(try members.text("agent") ?? "default", AgentID.self, "agent"),
            cron: try self.cron(cron),
            timeZone: try members.text("time_zone") ?? "UTC",
            catchUp: catchUp,
            input: try TurnBody.input(input),
            isPaused: try members.flag("paused") ?? false
        )
    }

    private static func cron(_ text: String) throws(APIError) -> CronExpression {
        do throws(InvalidSchedule) {
            return try CronExpression(text)
        } catch {
            throw .invalid("cron", error.description)
        }
    }

    private static func name<Kind>(
        _ text: String,
        _: Name<Kind>.Type,
        _ member: String
    ) throws(APIError) -> Name<Kind> {
        do throws(InvalidName) {
            return try Name<Kind>(text)
        } catch {
            throw APIError(400, "invalid_id", error.description, param: member)
        }
    }

    private static func response(_ record: ScheduleRecord) -> Response {
        .json(JSONWriter.object { json in json.member("schedule") { $0.members(of: record) } })
    }
}

extension JSONWriter {
    mutating func members(of record: ScheduleRecord) {
        self.member("id", record.id.text)
        self.member("agent", record.schedule.agent.text)
        self.member("cron", record.schedule.cron.text)
        self.member("time_zone", record.schedule.timeZone)
        self.member("catch_up", record.schedule.catchUp.rawValue)
        self.member(
            "input",
            json: String(decoding: JSONWriter.text(.array(record.schedule.input.parts)), as: UTF8.self)
        )
        self.member("paused", flag: record.schedule.isPaused)
        self.member("runs", record.runs)
        self.member("next_at", record.nextAt)
        self.member("last_at", record.lastAt)
        self.member("last_turn", record.lastTurn?.text)
        self.member("problem", record.problem)
        self.member("created_at", record.createdAt)
        self.member("updated_at", record.updatedAt)
    }
}
