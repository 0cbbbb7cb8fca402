import Domain
import Gateway
import Runtime

/// What becomes of a turn whose client leaves before its end.
struct Departure: Sendable {
    let log: Logger

    /// Cancels the turn if its client has left and wanted that. A replica that leaves takes its clients' connections away,
    /// which is no wish of theirs.
    func cancel(_ turn: TurnID, of call: Call) async {
        guard Task.isCancelled, !call.tenant.isDraining else { return }
        // This task is cancelled, and what it asks of the database would be too; the new one is awaited right here.
        let result = await Task { try await call.tenant.cancel(turn) }.result
        guard case .failure(let error) = result, error as? GatewayError != .alreadyEnded else { return }
        self.log.warning(
            "a turn whose client left could not be cancelled",
            ["turn": .text(turn.text), "error": .error(error)]
        )
    }
}
