import Runtime
import TestKit

/// A primary and the standby that streams from it.
final class ServerPair: Sendable {
    let primary: ReplicatedServer
    let standby: ReplicatedServer
    private let returned = Locked<ReplicatedServer?>(nil)

    private init(_ primary: ReplicatedServer, _ standby: ReplicatedServer) {
        self.primary = primary
        self.standby = standby
    }

    /// Lends a pair with a migrated database. With `isSynchronous` no commit is acknowledged before the standby has it.
    static func with(isSynchronous: Bool, _ body: @Sendable (ServerPair) async throws -> Void) async throws {
        let folder = try ScratchDirectory()
        let primary = try await ReplicatedServer.start(in: folder.file("a"))
        do {
            let pair = ServerPair(primary, try await primary.standby(in: folder.file("b")))
            do {
                let environment = Installation.environment(pair.conninfo, folder)
                let migration = try await Program.run(["migrate"], environment, in: folder)
                guard migration.status == 0 else { throw Missing(description: migration.text) }
                if isSynchronous { try await primary.awaitStandby() }
                try await body(pair)
            } catch {
                await pair.end()
                throw error
            }
            await pair.end()
        } catch {
            await primary.stop()
            throw error
        }
        await primary.stop()
    }

    private func end() async {
        await self.returned.withLock { $0 }?.stop()
        await self.standby.stop()
    }

    /// The connection string with both, the one that is the primary at first before the other.
    var conninfo: String {
        let hosts = [self.primary, self.standby].map(\.socketDirectory).joined(separator: ",")
        return "host=\(hosts) port=5432 user=postgres dbname=postgres"
    }

    /// Starts the old primary again, as a standby of the new one.
    func bringBack() async throws -> ReplicatedServer {
        let server = try await self.primary.comeBack(following: self.standby)
        self.returned.withLock { $0 = server }
        return server
    }
}
