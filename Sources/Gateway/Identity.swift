package import Domain

extension Principal {
    /// Whom the audit log names.
    package func actor(isWebSession: Bool, request: String?) -> Actor {
        Actor(name: "\(isWebSession ? "session" : "token"):\(self.token)", request: request)
    }
}
