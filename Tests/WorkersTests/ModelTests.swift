import Domain
import Foundation
import Testing

@testable import Workers

extension WorkerSuite {
    /// What a worker is told of its model, and what it tells.
    @Suite struct ModelTests {
        private static let address = "http://127.0.0.1:9"

        private static func leave(_ configuration: inout AgentConfiguration) {
            configuration.model = ModelAccess(upstream: "u")
        }

        private func environment(_ reply: String?) throws -> [String: String] {
            try JSONDecoder().decode([String: String].self, from: Data(try #require(reply).utf8))
        }

        @Test("a worker that outlives its turns has one token, and hears of each turn's own")
        func tokens() async throws {
            try await withRig { rig in
                rig.pool.offerModels(at: Self.address)
                let worker = try await rig.start(Rig.configuration("environment") { Self.leave(&$0) })
                let token = try #require(worker.token)
                let reply = await worker.perform(try Rig.turn()).outcome.reply
                let seen = try self.environment(reply)
                #expect(seen["OPENAI_BASE_URL"] == "\(Self.address)/v1" && seen["OPENAI_API_KEY"] == token.text)
                #expect(seen["ANTHROPIC_BASE_URL"] == Self.address && seen["ANTHROPIC_API_KEY"] == token.text)
                Rig.drop(await worker.end())
                let plain = try await rig.start(Rig.configuration("environment"))
                #expect(plain.token == nil)
                #expect(
                    try self.environment(await plain.perform(try Rig.turn()).outcome.reply)["OPENAI_API_KEY"] == nil
                )
                Rig.drop(await plain.end())
            }
        }

        @Test("a process that has one turn has that turn's token")
        func command() async throws {
            try await withRig { rig in
                rig.pool.offerModels(at: Self.address)
                let configuration = Rig.configuration {
                    Self.leave(&$0)
                    $0.driver = .command
                    $0.command = ["sh", "-c", "echo $OPENAI_BASE_URL $OPENAI_API_KEY"]
                }
                let worker = try await rig.start(configuration)
                for _ in 0..<2 {
                    let token = WorkerToken.make()
                    let result = await worker.perform(
                        try Rig.turn(),
                        wantsBase: false,
                        token: token,
                        ask: { _ in .cancelled },
                        emit: { _ in }
                    )
                    #expect(result.outcome.reply == "\(Self.address)/v1 \(token.text)\n")
                }
                Rig.drop(await worker.end())
            }
        }

        @Test("where no models are offered, an agent that wants one does not start, and says why")
        func none() async throws {
            try await withRig { rig in
                for driver in DriverKind.allCases {
                    let failed = try await rig.failStart(
                        Rig.configuration("echo") {
                            Self.leave(&$0)
                            $0.driver = driver
                        }
                    )
                    #expect(failed.error?.code == .workerStartFailed, "\(driver)")
                    #expect(failed.error?.message.contains("this replica has no upstreams") == true, "\(driver)")
                }
            }
        }

        @Test("tokens are all different, and show nothing of themselves")
        func secrecy() {
            let tokens = (0..<1_000).map { _ in WorkerToken.make() }
            #expect(Set(tokens.map(\.text)).count == 1_000)
            #expect(tokens.allSatisfy { !"\($0)".contains($0.text) && $0.text.hasPrefix("tpw_") })
        }
    }
}

@Suite struct NamedBackendTests {
    private func prompting(_ token: WorkerToken? = nil) throws -> (driver: ACPDriver, prompt: [DriverAction]) {
        var driver = ACPDriver(
            setup: ACPDriver.Setup(
                client: "turnpike",
                clientVersion: "1",
                lineBytes: 1 << 20,
                snapshotBytes: 1 << 20,
                usage: .auto
            )
        )
        _ = driver.opened()
        _ = driver.assigned(
            DriverAssignment(directory: "/w", chain: .empty, recalled: nil, transcript: nil, servers: [])
        )
        _ = driver.received(Array(#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}"#.utf8))
        _ = driver.received(Array(#"{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}"#.utf8))
        let actions = driver.prompt(DriverPrompt(turn: try Rig.turn(), epoch: 1, wants: nil, token: token))
        return (driver, actions)
    }

    private func backends(_ actions: [DriverAction]) -> [String] {
        actions.compactMap { action in
            guard case .event(.backend(let named)) = action else { return nil }
            return named.id.text
        }
    }

    @Test("a prompt carries its turn's token where there is one")
    func token() throws {
        let token = WorkerToken.make()
        for (given, expected) in [(token, token.text), (nil, nil)] as [(WorkerToken?, String?)] {
            guard case .send(let bytes)? = try self.prompting(given).prompt.last else {
                Issue.record("nothing is sent")
                continue
            }
            let meta = try JSONReader.read(bytes)["params"]?["_meta"]?["turnpike"]
            #expect(meta?["token"]?.text == expected)
        }
    }

    @Test("a backend is named with an update or with the result, within a prompt only")
    func named() throws {
        var (driver, _) = try self.prompting()
        func update(_ meta: String) -> [UInt8] {
            let text = #"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hi"}}"#
            let params = #"{"sessionId":"s","_meta":{"turnpike":\#(meta)},"update":\#(text)}"#
            return Array(#"{"jsonrpc":"2.0","method":"session/update","params":\#(params)}"#.utf8)
        }
        let said = driver.received(update(#"{"backend":"one"}"#))
        #expect(self.backends(said) == ["one"])
        #expect(said.contains { if case .event(.delta) = $0 { true } else { false } })
        for odd in [#"{"backend":"a b"}"#, #"{"backend":7}"#, "{}", "null"] {
            let actions = driver.received(update(odd))
            #expect(self.backends(actions).isEmpty, "\(odd)")
        }
        let result = #"{"stopReason":"end_turn","_meta":{"turnpike":{"backend":"two"}}}"#
        let ended = driver.received(Array(#"{"jsonrpc":"2.0","id":3,"result":\#(result)}"#.utf8))
        #expect(self.backends(ended) == ["two"])
        guard case .idle? = ended.last else {
            Issue.record("the end comes last: \(ended)")
            return
        }
        let late = driver.received(update(#"{"backend":"three"}"#))
        #expect(self.backends(late).isEmpty)
    }
}
