import Domain
import Postgres
import Runtime
import Store

extension Store {
    /// Begins a term and stays with it until it is known what became of it: a term that was begun while its answer got
    /// lost would leave a conversation that nobody serves and nobody may claim.
    func term(
        of claim: Claim,
        replica: ReplicaID,
        deployment: DeploymentID,
        workspace: WorkspaceID?,
        account: AccountID? = nil,
        _ limits: AgentLimits
    ) async throws -> Term? {
        let nonce = try NewID.nonce()
        let backoff = Backoff(first: .milliseconds(20), longest: .seconds(1))
        var isInDoubt = false
        for attempt in 0... {
            do {
                if isInDoubt, let term = try await self.term(claim.number, nonce: nonce) { return term }
                let term = try await self.beginTerm(
                    claim.number,
                    nonce: nonce,
                    replica: replica,
                    deployment: deployment,
                    workspace: workspace,
                    account: account,
                    limits: limits
                )
                // Refused by its own earlier try, perhaps, whose commit came between the two looks.
                return isInDoubt && term == nil ? try await self.term(claim.number, nonce: nonce) : term
            } catch let error as PostgresError where isInDoubt || error.isOutcomeUnknown {
                isInDoubt = true
                guard error.isWorthRepeating || error.isOutcomeUnknown else { throw error }
                try await Task.sleep(for: backoff.delay(attempt: attempt))
            }
        }
        return nil
    }
}
