import Domain
import Glibc
import Postgres
import Runtime
import TestKit
import Testing
import Workers

@testable import Gateway
@testable import Store

@Suite("How sessions end")
struct EndingTests {
    @Test("a reply that comes after a sweep is dropped and counted, and the next turn is served")
    func lateReply() async throws {
        // Nothing but the reply itself may tell the session that it has been swept.
        try await GatewayFixture.with({
            $0.limits.pollInterval = .seconds(3_600)
            $0.limits.sweepInterval = .seconds(3_600)
        }) { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            _ = try await fixture.pool.query("UPDATE turnpike.markers SET hard_deadline = now() - interval '1 hour'")
            let swept = try await fixture.store.sweepOverdue(grace: .zero, limit: 10)
            #expect(swept.map(\.turn) == [turn.id])
            #expect(swept.first?.epoch == 1)
            fixture.replica.conversationSession(turn)?.cancelRunningTurn(turn.id)
            try await eventually("the session to come down") { fixture.gateway.liveSessions == 0 }
            #expect(fixture.replica.metrics.value("turnpike_late_replies_total") == 1)
            let record = try await fixture.ended(turn)
            #expect(record.outcome?.code == "deadline_exceeded")
            #expect(record.outcome?.reply == "half ")
            #expect(try await fixture.outcomes(turn) == 1)
            #expect(try await fixture.locks(turn.number) == 0)
            try await fixture.agent("slow", "echo")
            #expect(try await fixture.ask(agent, "c").state == .completed)
        }
    }

    @Test("a sweep that is announced late leaves the conversation's next session alone")
    func lateAnnouncement() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            let turn = try await fixture.submit(agent, "c")
            _ = try await fixture.ended(turn)
            let session = try #require(fixture.replica.conversationSession(turn))
            let earlier = SweptTurn(
                turn: turn.id,
                number: turn.number,
                replica: freshID(),
                epoch: session.fence.epoch - 1,
                code: .replicaLost
            )
            fixture.gateway.sweeper.announce([earlier])
            #expect(session.abortion == nil)
            #expect(try await fixture.ask(agent, "c").outcome?.reply.hasPrefix("n=2 ") == true)
            #expect(try await fixture.deployments() == 1)
        }
    }

    @Test("a cancellation names its turn and does nothing to another")
    func cancellationNamesItsTurn() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let session = try #require(fixture.replica.conversationSession(turn))
            session.cancelRunningTurn(freshID())
            try await fixture.gateway.caretaker.inspect([session])
            #expect(!session.takeEarlyCancel())
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turn.id)
            let record = try await fixture.ended(turn)
            #expect(record.state == .cancelled)
            #expect(record.outcome?.reply == "half ")
        }
    }

    @Test("a turn whose worker waits to be started is not taken for a silent one, but its hard deadline counts")
    func waitingToStart() async throws {
        try await GatewayFixture.with({
            $0.limits.startsAtOnce = 1
            $0.limits.startGateHold = .seconds(60)
            $0.limits.sweepGrace = .zero
        }) { fixture in
            let mute = try await fixture.agent("mute", "mute") { $0.limits.startSeconds = 8 }
            let first = try await fixture.submit(mute, "c")
            try await eventually("the first start") { try await !fixture.isFree(first.number) }
            let agent = try await fixture.agent("echo", "echo") {
                $0.limits.startSeconds = 4
                $0.limits.progressSeconds = 1
            }
            let waiting = try await fixture.submit(agent, "waits")
            let late = try await fixture.submit(agent, "late")
            try await eventually("the others to be armed") {
                try await fixture.count("SELECT count(*) FROM turnpike.markers") == 3
            }
            _ = try await fixture.pool.query(
                "UPDATE turnpike.markers SET hard_deadline = now() - interval '1 second' WHERE turn = \(late.id.text)::uuid"
            )
            #expect(try await fixture.ended(late).outcome?.code == "deadline_exceeded")
            #expect(try await fixture.ended(waiting).state == .completed)
            #expect(try await fixture.ended(first).outcome?.code == "worker_start_failed")
            #expect(fixture.replica.metrics.value("turnpike_late_replies_total") == 0)
        }
    }

    @Test("a first turn's time counts from its hand-over, so its own session ends it, and no sweep")
    func slowStart() async throws {
        try await GatewayFixture.with({
            $0.limits.startsAtOnce = 1
            $0.limits.startGateHold = .seconds(60)
            $0.limits.sweepGrace = .seconds(60)
        }) { fixture in
            let mute = try await fixture.agent("mute", "mute") { $0.limits.startSeconds = 5 }
            let first = try await fixture.submit(mute, "c")
            try await eventually("the first start") { try await !fixture.isFree(first.number) }
            let agent = try await fixture.agent("silent", "silent") { $0.limits.turnSeconds = 6 }
            let turn = try await fixture.submit(agent, "c")
            #expect(try await fixture.ended(turn).outcome?.code == "deadline_exceeded")
            let took = try await fixture.count(
                """
                SELECT (extract(epoch FROM ended_at - started_at) * 1000)::integer AS count FROM turnpike.turns
                WHERE turn = \(turn.id.text)::uuid
                """
            )
            #expect((5_900..<9_000).contains(took), "5 s of waiting are in its 6 s: \(took) ms")
        }
    }

    @Test("a turn whose start still waits when its replica leaves goes back at once, and has spent no attempt")
    func leavingBeforeStart() async throws {
        try await GatewayFixture.with({
            $0.limits.startsAtOnce = 1
            $0.limits.startGateHold = .seconds(60)
        }) { fixture in
            let mute = try await fixture.agent("mute", "mute") { $0.limits.startSeconds = 60 }
            let first = try await fixture.submit(mute, "c")
            try await eventually("the first start") { fixture.replica.workerStates == [.starting] }
            let agent = try await fixture.agent("echo", "echo")
            let waiting = try await fixture.submit(agent, "waits")
            try await eventually("the other to be armed") {
                try await fixture.count("SELECT count(*) FROM turnpike.markers") == 2
                    && fixture.replica.conversationSession(waiting) != nil
            }
            let session = try #require(fixture.replica.conversationSession(waiting))
            session.end(.draining)
            try await eventually("its turn to go back") { try await fixture.retries(waiting) == ["replica_lost"] }
            try #require(fixture.replica.conversationSession(first)).abort(.draining)
            let record = try await fixture.ended(waiting)
            #expect(record.state == .completed && record.attempt == 1)
        }
    }

    @Test("a worker that is being started is killed with its session, and its turn has spent no attempt")
    func killedWhileStarting() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("later", "mute") { $0.limits.startSeconds = 60 }
            let turn = try await fixture.submit(agent, "c")
            try await eventually("the start") { fixture.replica.workerPIDs.first.map { $0 > 0 } == true }
            let launcher = try #require(fixture.replica.workerPIDs.first)
            let session = try #require(fixture.replica.conversationSession(turn))
            try await fixture.agent("later", "echo")
            session.abort(.lockLost)
            let record = try await fixture.ended(turn)
            #expect(record.state == .completed && record.attempt == 1)
            #expect(try await fixture.retries(turn) == ["replica_lost"])
            #expect(kill(launcher, 0) == -1, "nothing of the first worker is left")
            #expect(fixture.gateway.workers().circuits.isEmpty, "its agent is not to blame")
        }
    }

    @Test("a turn that its leaving replica cuts off keeps what was said")
    func cutOff() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            try #require(fixture.replica.conversationSession(turn)).abort(.draining)
            let record = try await fixture.ended(turn)
            #expect(record.outcome?.code == "replica_lost")
            #expect(record.outcome?.reply == "half ")
            #expect(try await fixture.outcomes(turn) == 1)
        }
    }

    @Test("a turn that its leaving replica cuts off runs again where its agent allows it")
    func cutOffAndRetried() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow") { $0.retries = 1 }
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            try #require(fixture.replica.conversationSession(turn)).abort(.draining)
            try await eventually("the second run") {
                try await fixture.gateway.tenant(fixture.org).turn(turn.id).attempt == 2
            }
            _ = try await fixture.gateway.tenant(fixture.org).cancel(turn.id)
            #expect(try await fixture.ended(turn).state == .cancelled)
        }
    }

    @Test("markers are failed first, then the registry entry goes, then the lock, then the row is free")
    func order() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("exit", "exit", "3")
            for round in 0..<5 {
                let turn = try await fixture.submit(agent, "c\(round)")
                try await eventually("the turn to be armed") { try await !fixture.isFree(turn.number) }
                try await self.watchEnd(of: turn, fixture)
                #expect(try await fixture.outcomes(turn) == 1)
            }
        }
    }

    /// Samples until the conversation is free. Each look asks for the later step before the earlier one, so a later
    /// step that was seen done proves that an earlier one that was not came too late.
    private func watchEnd(of turn: SubmittedTurn, _ fixture: GatewayFixture) async throws {
        var samples = 0
        var isOver = false
        while !isOver {
            let isFree = try await fixture.isFree(turn.number)
            let hasLock = try await fixture.locks(turn.number) > 0
            let isRegistered = fixture.replica.conversationSession(turn) != nil
            let markers = try await fixture.count(
                "SELECT count(*) FROM turnpike.markers WHERE turn = \(turn.id.text)::uuid"
            )
            if isFree { #expect(!hasLock, "the row was free before the lock") }
            if !hasLock { #expect(!isRegistered, "the lock was free before the registry entry") }
            if !isRegistered, !hasLock { #expect(markers == 0, "the session was gone before its markers") }
            samples += 1
            isOver = isFree
            if samples > 20_000 { throw CancellationError() }
        }
    }

    @Test("while a failed worker's marker cannot be written off, its session keeps registry entry and lock")
    func markersFirst() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("slow", "slow")
            let turn = try await fixture.submit(agent, "c")
            try await fixture.performing(turn)
            let pid = try #require(
                fixture.replica.conversationSession(turn)?.desk.withLock { $0.worker?.pid }
            )
            try await fixture.pool.withTransaction { connection in
                _ = try await connection.query(
                    "SELECT FROM turnpike.conversations WHERE id = \(turn.number.value)::bigint FOR UPDATE"
                )
                kill(pid, SIGKILL)
                try await eventually("the settlement to wait for the row") {
                    try await fixture.count(
                        """
                        SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'
                        """
                    ) > 0
                }
                #expect(fixture.replica.conversationSession(turn) != nil)
                #expect(try await fixture.locks(turn.number) == 1)
            }
            #expect(try await fixture.ended(turn).outcome?.code == "worker_exited")
            try await eventually("the conversation to be free") { try await fixture.isFree(turn.number) }
            #expect(try await fixture.locks(turn.number) == 0)
        }
    }
}
