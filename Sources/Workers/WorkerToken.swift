import Crypto
import Domain
import Runtime

/// What a worker proves itself with where it asks the gateway for something in its turn's name.
///
/// Random, and known to its replica alone, which keeps the digest: a worker speaks to the replica that started it and does
/// not outlive it, so nothing would be gained by a database that knows it.
package struct WorkerToken: Sendable, Hashable, CustomStringConvertible {
    /// What the worker sends.
    package let text: String

    /// A fresh one.
    package static func make() -> WorkerToken {
        WorkerToken(text: "tpw_" + Base62.encode([1] + RandomBytes.make(24)))
    }

    private init(text: String) {
        self.text = text
    }

    /// By which it is known.
    package var digest: [UInt8] { Self.digest(of: self.text) }

    /// The digest of what somebody sent as a token.
    package static func digest(of text: String) -> [UInt8] {
        Digest.sha256(Array(text.utf8))
    }

    package var description: String { "tpw_***" }
}

extension WorkerPool {
    /// Says where workers reach their models, `http://host:port`. Without it no agent that wants one can start.
    package func offerModels(at address: String) {
        self.tools.models.withLock { $0 = address }
    }
}

extension Worker {
    /// The variables by which the programs of others find their model, with `token` as their key.
    func modelVariables(_ token: WorkerToken?) throws(WorkerError) -> [String: String] {
        guard self.order.configuration.model != nil else { return [:] }
        guard let address = self.tools.models.withLock({ $0 }), let token else {
            let message = "the agent uses a model through the gateway, but this replica has no upstreams"
            throw WorkerError(code: .workerStartFailed, message: message)
        }
        return [
            "OPENAI_BASE_URL": "\(address)/v1", "OPENAI_API_KEY": token.text,
            // The other dialect's clients add /v1 themselves.
            "ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": token.text,
        ]
    }
}
