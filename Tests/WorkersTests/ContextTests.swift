import Domain
import Foundation
import Runtime
import Testing

@testable import Workers

extension WorkerSuite {
    /// How a worker comes by what was said before it started.
    @Suite struct ContextTests {
        /// What the double answered, and what the log got before it.
        private struct Answer {
            let session: String?
            let heard: JSONValue?
            let texts: [String]
            let report: ContextReport?
            let tools: Int
            let usage: JSONValue?
        }

        private static let said = [
            Transcript.Exchange(seq: 2, epoch: 2, input: "two", reply: "zwei"),
            Transcript.Exchange(seq: 1, epoch: 1, input: "one", reply: "eins"),
        ]

        private func transcript(_ count: Int = 2) -> Transcript {
            Transcript(newestFirst: Array(Self.said.suffix(count)), maximumBytes: 1 << 16)
        }

        private func answer(_ worker: Worker, _ text: String) async throws -> Answer {
            let events = Locked<[TurnEvent]>([])
            let result = await worker.perform(
                try Rig.turn(text),
                wantsBase: true,
                ask: { _ in .cancelled },
                emit: { event in events.withLock { $0.append(event) } }
            )
            guard case .completed(let reply) = result.outcome else {
                Issue.record("\(result.outcome)")
                return Answer(session: nil, heard: nil, texts: [], report: nil, tools: 0, usage: nil)
            }
            let said = try JSONReader.read(Array(reply.text.utf8))
            let seen = events.withLock { $0 }
            let reports = seen.compactMap { event -> ContextReport? in
                if case .context(let report) = event { report } else { nil }
            }
            #expect(reports.count <= 1)
            return Answer(
                session: said["session"]?.text,
                heard: said["heard"],
                texts: said["texts"]?.elements?.compactMap(\.text) ?? [],
                report: reports.first,
                tools: seen.filter { if case .tool = $0 { true } else { false } }.count,
                usage: reply.usage
            )
        }

        /// A conversation's first worker, which hears `one`.
        private func begin(_ rig: Rig, _ mode: String) async throws -> Workspace {
            let worker = try await rig.start(Rig.keeper(mode), epoch: 1)
            let first = try await self.answer(worker, "one")
            #expect(first.session == "s-1" && first.texts == ["one"] && first.report == nil)
            Rig.drop(await worker.end())
            return worker.workspace
        }

        @Test(
            "a later worker opens the session again and swallows its replay",
            arguments: ["load", "resume", "replaying", "half"]
        )
        func opensAgain(_ mode: String) async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, mode)
                let worker = try await rig.start(Rig.keeper(mode), epoch: 2, transcript: self.transcript(1))
                let second = try await self.answer(worker, "two")
                #expect(second.session == "s-1")
                #expect(second.heard == ["one"])
                #expect(second.texts == ["two"])
                #expect(second.tools == 0)
                #expect(second.report == ContextReport(context: .loaded))
                let third = try await self.answer(worker, "three")
                #expect(third.heard == ["one", "two"] && third.report == nil)
                Rig.drop(await worker.end())
                #expect(rig.metrics.value("turnpike_worker_contexts_total", labels: ["context": "loaded"]) == 1)
                let lost = rig.metrics.value("turnpike_worker_oddities_total", labels: ["kind": "session_lost"])
                #expect(lost == (mode == "half" ? 1 : 0))
            }
        }

        @Test("an agent that cannot open its session again is told the transcript", arguments: ["broken", "forgetful"])
        func seeded(_ mode: String) async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, mode)
                let worker = try await rig.start(Rig.keeper(mode), epoch: 3, transcript: self.transcript())
                let third = try await self.answer(worker, "three")
                #expect(third.session == "s-2" && third.heard == [])
                #expect(third.report == ContextReport(context: .seeded, turns: 2))
                #expect(third.texts.count == 2 && third.texts.last == "three")
                let lines = try #require(third.texts.first).split(separator: "\n")
                #expect(
                    try lines.dropFirst().dropLast().map { try JSONReader.read(Array($0.utf8)) } == [
                        ["user": "one", "assistant": "eins"], ["user": "two", "assistant": "zwei"],
                    ]
                )
                #expect(try await self.answer(worker, "four").texts == ["four"])
                Rig.drop(await worker.end())
            }
        }

        @Test("a session that lacks turns of another replica is told those alone")
        func partlySeeded() async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, "load")
                let worker = try await rig.start(Rig.keeper("load"), epoch: 3, transcript: self.transcript())
                let third = try await self.answer(worker, "three")
                #expect(third.session == "s-1" && third.heard == ["one"])
                #expect(third.report == ContextReport(context: .loaded, turns: 1))
                #expect(third.texts.first?.contains(#""user":"two""#) == true)
                #expect(third.texts.first?.contains(#""user":"one""#) == false)
                Rig.drop(await worker.end())
            }
        }

        @Test("what a refused prompt told is told again with the next, and only then is the session worth keeping")
        func refusedSeed() async throws {
            try await withRig { rig in
                let worker = try await rig.start(Rig.keeper("load"), epoch: 3, transcript: self.transcript())
                #expect(await worker.perform(try Rig.turn("refuse")).outcome.failure == .refused)
                #expect(try worker.workspace.agentSession(below: rig.root) == nil)
                #expect(try await self.answer(worker, "three").texts.count == 2)
                #expect(try worker.workspace.agentSession(below: rig.root) == AgentSession(id: "s-1", epoch: 3))
                Rig.drop(await worker.end())
            }
        }

        @Test("a worker that ends over opening its session again does so once", arguments: ["dies", "hangs"])
        func endsOverOpening(_ mode: String) async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, mode)
                let configuration = Rig.keeper(mode) { $0.limits.startSeconds = 1 }
                await #expect(throws: WorkerError.self) {
                    try await rig.start(configuration, epoch: 2, transcript: self.transcript(1))
                }
                let worker = try await rig.start(configuration, epoch: 3, transcript: self.transcript(1))
                #expect(try await self.answer(worker, "two").report == ContextReport(context: .seeded, turns: 1))
                Rig.drop(await worker.end())
            }
        }

        @Test("an agent that wants to be logged in again is not passed over")
        func needsLogin() async throws {
            try await withRig { rig in
                let workspace = try await self.begin(rig, "login")
                let error = await #expect(throws: WorkerError.self) {
                    try await rig.start(Rig.keeper("login"), epoch: 2, transcript: self.transcript(1))
                }
                #expect(
                    error?.message == "the worker needs authentication for session/load: log in again (code -32000)"
                )
                #expect(try workspace.agentSession(below: rig.root) != nil)
            }
        }

        @Test("nothing is opened again or told in a conversation of which nothing was said, nor from another database")
        func nothingBefore() async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, "load")
                let fresh = try await rig.start(Rig.keeper("load"), epoch: 2)
                let first = try await self.answer(fresh, "hello")
                #expect(first.session == "s-2" && first.report == nil)
                Rig.drop(await fresh.end())
                let foreign = try await rig.start(Rig.keeper("load"), epoch: 2, transcript: .withheld)
                let second = try await self.answer(foreign, "hello")
                #expect(second.session == "s-3")
                #expect(second.report == ContextReport(context: .new, isCut: true))
                Rig.drop(await foreign.end())
            }
        }

        @Test("totals go on where the session went on")
        func usage() async throws {
            try await withRig { rig in
                _ = try await self.begin(rig, "load")
                let transcript = Transcript(
                    newestFirst: [Self.said[1]],
                    maximumBytes: 100,
                    usage: ["totalTokens": 10]
                )
                let worker = try await rig.start(Rig.keeper("load"), epoch: 2, transcript: transcript)
                #expect(
                    try await self.answer(worker, "two").usage
                        == ["totalTokens": 10, "reported": ["totalTokens": 20]]
                )
                Rig.drop(await worker.end())
            }
        }

        @Test("handed over state comes before an agent's own session, and the log says so")
        func snapshot() async throws {
            try await withRig { rig in
                let chain = [Snapshot(seq: 1, parent: 0, kind: .base, body: Array(#"{"n": 4}"#.utf8))]
                let configuration = Rig.configuration("counter", store: .snapshot)
                let worker = try await rig.start(configuration, chain: chain, transcript: .withheld)
                let events = Locked<[TurnEvent]>([])
                let result = await worker.perform(
                    try Rig.turn(),
                    wantsBase: false,
                    ask: { _ in .cancelled },
                    emit: { event in events.withLock { $0.append(event) } }
                )
                #expect(result.outcome.reply == "n=5 wants=delta")
                #expect(events.withLock { $0.first } == .context(ContextReport(context: .snapshot)))
                Rig.drop(await worker.end())
            }
        }
    }

    @Suite struct AgentSessionTests {
        private func withWorkspace(_ body: (Rig, Workspace) throws -> Void) async throws {
            try await withRig { rig in
                let workspace = Workspace(root: rig.root, order: try rig.order(Rig.configuration("echo")))
                try workspace.create(below: rig.root)
                try body(rig, workspace)
            }
        }

        @Test("a session is kept, replaced and forgotten")
        func kept() async throws {
            try await self.withWorkspace { rig, workspace in
                #expect(try workspace.agentSession(below: rig.root) == nil)
                try workspace.keep(nil, below: rig.root)
                for epoch in 1...2 {
                    let session = try #require(AgentSession(id: "a \"ü\"\n", epoch: Int64(epoch)))
                    try workspace.keep(session, below: rig.root)
                    #expect(try workspace.agentSession(below: rig.root) == session)
                }
                #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path).count == 4)
                try workspace.keep(nil, below: rig.root)
                #expect(try workspace.agentSession(below: rig.root) == nil)
            }
        }

        @Test("whatever a worker puts in the file's place is no session, and is not followed")
        func hostile() async throws {
            try await self.withWorkspace { rig, workspace in
                let file = "\(workspace.path)/\(AgentSession.file)"
                let session = try #require(AgentSession(id: "s", epoch: 1))
                let victim = "\(rig.root)/victim"
                try Data(session.text).write(to: URL(filePath: victim))
                symlink(victim, file)
                #expect(try workspace.agentSession(below: rig.root) == nil)
                try workspace.keep(AgentSession(id: "t", epoch: 2), below: rig.root)
                #expect(try Data(contentsOf: URL(filePath: victim)) == Data(session.text))
                #expect(try workspace.agentSession(below: rig.root)?.id == "t")
                symlink(victim, "\(file).new")
                try workspace.keep(session, below: rig.root)
                #expect(try workspace.agentSession(below: rig.root) == session)
                unlink(file)
                mkfifo(file, 0o600)
                #expect(try workspace.agentSession(below: rig.root) == nil)
                unlink(file)
                mkdir(file, 0o700)
                #expect(try workspace.agentSession(below: rig.root) == nil)
                #expect(throws: SystemError.self) { try workspace.keep(session, below: rig.root) }
                rmdir(file)
                for text in ["", "x", "[]", #"{"version":2,"session":"s","epoch":1}"#, #"{"version":1,"session":7}"#] {
                    try Data(text.utf8).write(to: URL(filePath: file))
                    #expect(try workspace.agentSession(below: rig.root) == nil, "\(text)")
                }
                let large = String(decoding: session.text, as: UTF8.self) + String(repeating: " ", count: 5_000)
                try Data(large.utf8).write(to: URL(filePath: file))
                #expect(try workspace.agentSession(below: rig.root) == nil)
                #expect(AgentSession(id: "", epoch: 1) == nil)
                #expect(AgentSession(id: String(repeating: "x", count: 2_000), epoch: 1) == nil)
            }
        }
    }
}
