import API
import Foundation
import Glibc
import Runtime

/// The file that the setting `identity` names: an identity provider, and what its tokens may do.
struct IdentityFile: Sendable {
    /// The largest key set that is read.
    private static let largest = 1 << 20

    let path: String
    private let configuration: IdentityConfiguration

    /// Reads and checks the file. Throws a usage failure that says what is wrong with it.
    init(path: String) throws(CommandFailure) {
        self.path = path
        do {
            self.configuration = try IdentityConfiguration(Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        } catch let flaw as IdentityConfiguration.Flaw {
            throw CommandFailure(.usage, "\(path): \(flaw)", remedy: "README.md shows what it may hold.")
        } catch {
            throw CommandFailure(.usage, "cannot read \(path), which identity names")
        }
    }

    /// What believes the provider's tokens. Its keys are read when the first one comes.
    func provider(log: Logger) -> IdentityProvider {
        let place = self.configuration.keys
        let client = self.client
        return IdentityProvider(
            self.configuration,
            log: log,
            clock: { Int64(time(nil)) },
            fetch: { try await Self.keys(at: place, by: client) }
        )
    }

    /// The provider's keys as they are now.
    func keys() async throws -> [UInt8] {
        try await Self.keys(at: self.configuration.keys, by: self.client)
    }

    private var client: GatewayClient { GatewayClient(base: self.configuration.keys, token: nil) }

    /// No redirect is followed: the keys are where the file says. What is no file is read by `client`, whose base it is.
    static func keys(at place: String, by client: GatewayClient) async throws -> [UInt8] {
        guard place.hasPrefix("/") else {
            return try await client.bytes(GatewayClient.Call(path: ""), withinSeconds: 5, atMost: self.largest)
        }
        let keys = Array(try Data(contentsOf: URL(fileURLWithPath: place)))
        guard keys.count <= self.largest else { throw CommandFailure(.failure, "\(place) is too large for a key set") }
        return keys
    }
}
