import Domain
import HTTP

/// A method, a pattern and who may call what stands behind them.
struct Route: Sendable {
    /// What answers, by who may ask.
    enum Action: Sendable {
        /// Anybody; no organization's data is in reach.
        case open(@Sendable (Request) async throws -> Response)
        /// Whoever has the scope, within the own organization.
        case scoped(Scope, @Sendable (Call) async throws -> Response)
        /// Whoever has the scope, within the own organization; whoever runs the installation, within all of it.
        case either(
            Scope,
            @Sendable (Call) async throws -> Response,
            operators: @Sendable (OperatorCall) async throws -> Response
        )
        /// A worker outside the gateway, within what its account's token enrolled it for.
        case workers(@Sendable (WorkerCall) async throws -> Response)
        /// Whoever runs the installation.
        case operators(@Sendable (OperatorCall) async throws -> Response)
    }

    let method: String
    let pattern: String
    let action: Action
    /// Whether its bodies bring the whole conversation along, as those of the OpenAI dialects do.
    var carriesHistory = false

    /// Whether it answers without a token.
    var isOpen: Bool {
        if case .open = self.action { true } else { false }
    }

    /// Where a caller is needed, a body that comes without any credential is not read. Whose it is, the gate looks at.
    var doorkeeper: Router.Doorkeeper? {
        if self.isOpen { return nil }
        return { (request: Request) throws in
            try Credential.refuseInURL(request)
            _ = try Credential(request)
        }
    }

    init(_ method: String, _ pattern: String, _ action: Action, carriesHistory: Bool = false) {
        self.method = method
        self.pattern = pattern
        self.action = action
        self.carriesHistory = carriesHistory
    }
}
