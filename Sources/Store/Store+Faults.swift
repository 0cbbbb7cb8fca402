import Crypto
import Domain
import Faults
import Postgres

extension Store {
    /// A point at which a test build can be made to fail: as the connection does, with or without effect.
    static func reach(_ point: FaultPoint) async throws {
        do {
            try await Faults.reach(point)
        } catch {
            throw PostgresError(.connectionLost, "asked to fail", isOutcomeUnknown: point.isAfterCommit)
        }
    }
}

// What the planted bugs change in statements; the text of a release build is empty.
extension Store {
    /// Lets any holder of the conversation pass a comparison that ends here.
    static func orAnyHolder(_ bug: PlantedBug, _ fence: Fence) -> String {
        bug.isPlanted ? "OR id = \(fence.conversation.value)" : ""
    }

    /// What a settlement goes on from: the discharged marker.
    static func discharged(_ turn: TurnID) -> String {
        PlantedBug.noCompareAndSet.isPlanted || PlantedBug.markerOutsideTransaction.isPlanted
            ? "(SELECT '\(turn.text)'::uuid AS turn FROM held)" : "discharged"
    }

    static var orNothing: String {
        PlantedBug.noCompareAndSet.isPlanted ? "ON CONFLICT DO NOTHING" : ""
    }
}

#if FAULT_POINTS
    // One transaction made two, with time to die in between.
    extension Store {
        private static let between: Duration = .milliseconds(50)

        func dischargeAlone(_ turn: TurnID) async throws {
            _ = try await self.pool.query("DELETE FROM turnpike.markers WHERE turn = \(turn.text)::uuid")
            try await Task.sleep(for: Self.between)
        }

        func settleInTwo(_ settlement: Settlement, fence: Fence, next: HandOver?) async throws -> Fenced<Settled> {
            let bare = Settlement(
                turn: settlement.turn,
                seq: settlement.seq,
                outcome: settlement.outcome,
                parent: settlement.parent,
                snapshot: nil,
                events: settlement.events,
                isDeadLetter: settlement.isDeadLetter
            )
            let settled = try await self.settle(bare, fence: fence, next: next)
            guard let snapshot = settlement.snapshot else { return settled }
            try await Task.sleep(for: Self.between)
            _ = try await self.pool.pipeline([
                """
                INSERT INTO turnpike.snapshots (conversation_id, seq, parent, kind, body, sha256, epoch, owner_nonce)
                VALUES (\(fence.conversation.value)::bigint, \(settlement.seq)::bigint, \(settlement.parent)::bigint,
                    \(snapshot.kind.rawValue)::text, \(snapshot.body)::bytea,
                    \(Digest.sha256(snapshot.body))::bytea, \(fence.epoch)::bigint, \(fence.nonce.text)::uuid)
                """,
                """
                UPDATE turnpike.conversations SET head = \(settlement.seq)::bigint
                WHERE id = \(fence.conversation.value)::bigint
                """,
            ])
            return settled
        }

        func appendInTwo(
            _ types: [String],
            _ data: [String],
            turn: TurnID,
            fence: Fence
        ) async throws -> Fenced<Int64> {
            let rows = try await self.pool.query(
                """
                UPDATE turnpike.conversations SET last_event = last_event + \(types.count)::integer
                WHERE id = \(fence.conversation.value)::bigint AND epoch = \(fence.epoch)::bigint
                    AND owner_nonce = \(fence.nonce.text)::uuid AND running = \(turn.text)::uuid
                RETURNING last_event
                """
            )
            guard let last: Int64 = try rows.first?.get("last_event") else { return .fenced }
            try await Task.sleep(for: Self.between)
            _ = try await self.pool.query(
                """
                INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
                SELECT \(fence.conversation.value)::bigint, \(last)::bigint - \(types.count)::integer + e.ord,
                    \(turn.text)::uuid, e.type, e.data::json
                FROM unnest(\(types)::text[], \(data)::text[]) WITH ORDINALITY AS e (type, data, ord)
                """
            )
            return .done(last)
        }

        /// Says that a turn is accepted and accepts it a moment later.
        func acceptLater(_ submission: TurnSubmission) -> Intake {
            Task {
                // Awaited by nobody: that is the bug.
                try await Task.sleep(for: Self.between)
                _ = try await self.acceptOnce(submission, handOver: nil)
            }
            return Intake(
                verdict: .accepted,
                turn: submission.id,
                number: ConversationNumber(0),
                seq: 0,
                state: .queued,
                ahead: 0,
                wait: nil,
                refusal: nil,
                interrupted: nil,
                owner: nil,
                armed: nil,
                firstEvent: 0,
                events: []
            )
        }
    }
#endif
