import Domain
import Gateway
import HTTP

/// A request of a worker that a token has enrolled: its own turns are in reach, nothing else.
struct WorkerCall: Sendable {
    let request: Request
    let principal: Principal
    /// What the worker can do.
    let desk: RemoteDesk

    /// The members of the body: these, and those of a ticket where the path names a turn.
    func body(_ known: String...) throws -> JSONMembers {
        _ = try QueryValues(self.request, known: [])
        let ticket = self.request.parameters["turn"] == nil ? [] : ["attempt", "epoch", "lease"]
        return try JSONMembers(JSONBody.read(self.request), known: known + ticket)
    }

    /// What the worker shows for the turn that the path names. Throws 400 for what cannot be one, and 404.
    func ticket(_ body: JSONMembers) throws(APIError) -> RemoteTicket {
        guard let turn = TurnID(self.request.parameters["turn"] ?? "") else {
            throw APIError(404, "not_found", "no such turn")
        }
        guard let attempt = try body.integer("attempt", in: 1...1_000_000) else {
            throw .invalid("attempt", "is missing")
        }
        guard let epoch = try body.integer("epoch", in: 1...Int64.max) else { throw .invalid("epoch", "is missing") }
        guard let lease = try body.text("lease").flatMap({ Nonce($0) }) else {
            throw .invalid("lease", "must be the lease of the assignment")
        }
        return RemoteTicket(turn: turn, attempt: Int(attempt), epoch: epoch, lease: lease)
    }
}
