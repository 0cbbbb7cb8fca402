import Domain
import Foundation
import Postgres
import Runtime
import TestKit
import Testing

extension EndToEnd {
    @Suite struct DirectoryTests {
        private static let more = #","snapshots":{"kind":"directory"},"retries":1"#

        @Test("an agent that only writes files in its HOME goes on with them on another replica, half a turn forgotten")
        func moves() async throws {
            try await Installation.with { installation in
                let doomed = try await installation.replica()
                let client = installation.client(doomed.port)
                try await client.put(
                    "files",
                    ["/usr/bin/python3", "-S", Places.worker("file_agent.py")],
                    more: Self.more
                )
                #expect(ReplyList.items(try await client.reply("files", "c", "one")) == ["one"])
                #expect(ReplyList.items(try await client.reply("files", "c", "two")) == ["one", "two"])
                #expect(ReplyList.items(try await client.reply("files", "killed", "one")) == ["one"])
                let heir = try await installation.replica()
                // The item is in the file by the time of the first chunk; the run after it must not find it there.
                let half = try await client.submit("files", "killed", "two 100 0.05")
                try await installation.says(half, atLeast: 2)
                try await doomed.kill()
                // What another machine would have: nothing.
                let survivor = installation.client(heir.port)
                let retried = try await survivor.outcome(half)
                #expect(retried.list == ["one", "two"], "\(retried)")
                try FileManager.default.removeItem(atPath: try Self.workspace(installation, of: "c"))
                #expect(ReplyList.items(try await survivor.reply("files", "c", "three")) == ["one", "two", "three"])
                try await self.look(installation, through: heir)
                try await Ledger(installation).check(turns: 6)
            }
        }

        /// The workspace that is not the one of the turn that was killed.
        private static func workspace(_ installation: Installation, of conversation: String) throws -> String {
            let root = installation.folder.file("workspaces")
            for name in try FileManager.default.contentsOfDirectory(atPath: root) {
                let list = FileManager.default.contents(atPath: "\(root)/\(name)/home/.file_agent/list")
                if list.map({ String(decoding: $0, as: UTF8.self) }) == "one\ntwo\n", name.hasPrefix("1-") {
                    return "\(root)/\(name)"
                }
            }
            throw Missing(description: "the workspace of \(conversation)")
        }

        /// The commands say the same.
        private func look(_ installation: Installation, through replica: Replica) async throws {
            var environment = installation.environment()
            environment["TURNPIKE_URL"] = "http://127.0.0.1:\(replica.port)"
            environment["TURNPIKE_TOKEN"] = installation.token
            func run(_ words: String...) async throws -> Program.Ended {
                try await Program.run(words, environment, in: installation.folder)
            }
            let list = try await run("snapshots", "list", "files", "c")
            #expect(list.status == 0 && list.text.split(separator: "\n").count == 4, "\(list.text)")
            let verified = try await run("snapshots", "verify", "files", "c")
            #expect(verified.status == 0 && verified.text.hasPrefix("3 snapshots"), "\(verified.text)")
            let file = installation.folder.file("c.tar.zst")
            let exported = try await run("snapshots", "export", "files", "c", "--to", file, "--turn", "2")
            #expect(exported.status == 0, "\(exported.text)")
            #expect(FileManager.default.fileExists(atPath: file))
            let forked = try await run("fork", "files", "c", "d", "--from", "1")
            #expect(forked.status == 0, "\(forked.text)")
            let reply = try await installation.client(replica.port).reply("files", "d", "other")
            #expect(ReplyList.items(reply) == ["one", "other"])
            let pruned = try await run("snapshots", "prune", "files", "c", "--keep", "0")
            #expect(pruned.text == "Removed 0 snapshots, 0 bytes.\n", "\(pruned.text)")
            // A byte that changed on the way.
            _ = try await installation.pool.query(
                "UPDATE turnpike.snapshots SET body = set_byte(body, 20, get_byte(body, 20) # 1) WHERE seq = 3"
            )
            let damaged = try await run("snapshots", "verify", "files", "c")
            #expect(damaged.status == 1 && damaged.text.contains("turn 3"), "\(damaged.text)")
        }
    }
}
