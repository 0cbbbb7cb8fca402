import Domain
import Testing

@testable import Workers

@Suite struct ACPDriverTests {
    private static let setup = ACPDriver.Setup(
        client: "turnpike",
        clientVersion: "1",
        lineBytes: 1 << 20,
        snapshotBytes: 1 << 20,
        usage: .auto
    )

    private func assignment(_ recalled: AgentSession? = nil, _ transcript: Transcript? = nil) -> DriverAssignment {
        DriverAssignment(directory: "/w", chain: .empty, recalled: recalled, transcript: transcript, servers: [])
    }

    private func ready() throws -> ACPDriver {
        var driver = ACPDriver(setup: Self.setup)
        _ = driver.opened()
        _ = driver.assigned(self.assignment())
        _ = driver.received(Array(#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}"#.utf8))
        let actions = driver.received(Array(#"{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}"#.utf8))
        guard case .ready = try #require(actions.last) else {
            Issue.record("not ready: \(actions)")
            return driver
        }
        return driver
    }

    private func prompting() throws -> ACPDriver {
        var driver = try self.ready()
        let prompt = DriverPrompt(turn: try Rig.turn(), epoch: 1, wants: nil)
        _ = driver.prompt(prompt)
        return driver
    }

    private func sent(_ actions: [DriverAction]) throws -> [JSONValue] {
        try actions.compactMap { action in
            guard case .send(let bytes) = action else { return nil }
            return try JSONReader.read(bytes)
        }
    }

    private func question(_ id: String) -> [UInt8] {
        let options = #"[{"optionId":"y","name":"y","kind":"allow_once"}]"#
        let params = #"{"sessionId":"s","toolCall":{"toolCallId":"t"},"options":\#(options)}"#
        return Array(#"{"jsonrpc":"2.0","id":\#(id),"method":"session/request_permission","params":\#(params)}"#.utf8)
    }

    @Test("a cancel answers every waiting question before it tells the agent")
    func cancelOrder() throws {
        var driver = try self.prompting()
        _ = driver.received(self.question("7"))
        _ = driver.received(self.question("\"7\""))
        let sent = try self.sent(driver.cancel())
        #expect(sent.count == 3)
        #expect(Set(sent.prefix(2).map { $0["id"] ?? .null }) == [7, "7"])
        #expect(sent.prefix(2).allSatisfy { $0["result"]?["outcome"]?["outcome"] == "cancelled" })
        #expect(sent[2]["method"] == "session/cancel")
        #expect(driver.answered("7", .select("y")).isEmpty)
    }

    @Test("an answer to our request and a question with the same id are told apart")
    func twoTables() throws {
        var driver = try self.prompting()
        // Our prompt is request 3.
        guard case .ask(let question) = try #require(driver.received(self.question("3")).last) else {
            Issue.record("no question")
            return
        }
        #expect(try self.sent(driver.answered(question.id, .select("y"))).first?["id"] == 3)
        let actions = driver.received(Array(#"{"id":3,"result":{"stopReason":"end_turn"}}"#.utf8))
        guard case .idle(let stop) = try #require(actions.last) else {
            Issue.record("not idle")
            return
        }
        #expect(stop.stopReason == "end_turn")
    }

    @Test("a question outside a turn is answered as cancelled at once")
    func questionOutsideTurn() throws {
        var driver = try self.ready()
        #expect(
            try self.sent(driver.received(self.question("1"))).first?["result"]?["outcome"]?["outcome"] == "cancelled"
        )
    }

    @Test("a question that is still open when the turn ends is not left hanging")
    func openQuestionAtEnd() throws {
        var driver = try self.prompting()
        _ = driver.received(self.question("9"))
        let actions = driver.received(Array(#"{"id":3,"result":{"stopReason":"end_turn"}}"#.utf8))
        #expect(try self.sent(actions).first?["id"] == 9)
    }

    @Test("the prompt names its turn, its term and its attempt")
    func context() throws {
        var driver = try self.ready()
        let turn = try Rig.turn("hi")
        let sent = try self.sent(driver.prompt(DriverPrompt(turn: turn, epoch: 5, wants: .base)))
        let context = sent.first?["params"]?["_meta"]?["turnpike"]
        #expect(
            context == ["turn": .string(turn.id.text), "epoch": 5, "attempt": 1, "message_id": .string(turn.id.text)]
        )
        #expect(sent.first?["params"]?["prompt"] == [["type": "text", "text": "hi"]])
    }

    @Test("every request and notification is one line of JSON-RPC 2.0")
    func framing() throws {
        var driver = try self.ready()
        for action in driver.prompt(DriverPrompt(turn: try Rig.turn("a\nb"), epoch: 5, wants: nil)) + driver.cancel() {
            guard case .send(let bytes) = action else { continue }
            #expect(bytes.filter { $0 == 0x0a }.count == 1)
            #expect(try JSONReader.read(bytes)["jsonrpc"] == "2.0")
        }
    }

    @Test("a second prompt is never sent while one runs")
    func secondPrompt() throws {
        var driver = try self.prompting()
        let actions = driver.prompt(DriverPrompt(turn: try Rig.turn(), epoch: 1, wants: nil))
        guard case .failed(.protocolError, _, sure: false)? = actions.first else {
            Issue.record("not refused: \(actions)")
            return
        }
        #expect(try self.sent(actions).isEmpty)
    }

    @Test("an agent that is told its conversation late opens its session then")
    func assignedLate() throws {
        var driver = ACPDriver(setup: Self.setup)
        _ = driver.opened()
        let actions = driver.received(Array(#"{"id":1,"result":{"protocolVersion":1}}"#.utf8))
        guard case .ready? = actions.first else {
            Issue.record("not ready for a conversation: \(actions)")
            return
        }
        #expect(try self.sent(driver.assigned(self.assignment())).first?["method"] == "session/new")
    }

    @Test("a question under the id of one that waits is refused, and the first still gets its answer")
    func repeatedID() throws {
        var driver = try self.prompting()
        _ = driver.received(self.question("7"))
        #expect(try self.sent(driver.received(self.question("7"))).first?["error"]?["code"] == -32600)
        #expect(try self.sent(driver.answered("7", .select("y"))).first?["result"]?["outcome"]?["optionId"] == "y")
    }

    @Test("so many questions may wait, and the next is answered as cancelled")
    func manyQuestions() throws {
        var driver = try self.prompting()
        for number in 0..<ACPDriver.maximumQuestions {
            #expect(try self.sent(driver.received(self.question("\(number)"))).isEmpty)
        }
        let sent = try self.sent(driver.received(self.question("4711")))
        #expect(sent.first?["result"]?["outcome"]?["outcome"] == "cancelled")
        let long = "\"\(String(repeating: "x", count: 300))\""
        var fresh = try self.prompting()
        #expect(try self.sent(fresh.received(self.question(long))).first?["error"]?["code"] == -32600)
    }

    @Test(
        "the ways to open a session: handed over state first, then the agent's own, then a new one",
        arguments: [(false, false, 1), (true, false, 2), (false, true, 2), (true, true, 3)]
    )
    func openings(_ resumes: Bool, _ loads: Bool, _ count: Int) throws {
        let session = try #require(AgentSession(id: "s-9", epoch: 2))
        var capabilities: [String: JSONValue] = ["loadSession": .bool(loads)]
        if resumes { capabilities["sessionCapabilities"] = ["resume": [:]] }
        let abilities = AgentAbilities(["agentCapabilities": .object(capabilities)])
        let all: [ACPDriver.Opening] = (resumes ? [.resume(session)] : []) + (loads ? [.load(session)] : []) + [.new]
        #expect(all.count == count)
        #expect(ACPDriver.openings(self.assignment(session, .withheld), abilities) == all)
        // Nothing was said before: whatever the session is, it is not this conversation's.
        #expect(ACPDriver.openings(self.assignment(session), abilities) == [.new])
        #expect(ACPDriver.openings(self.assignment(nil, .withheld), abilities) == [.new])
        let chain = try SnapshotChain([Snapshot(seq: 1, parent: 0, kind: .base, body: [1])])
        let handedOver = DriverAssignment(
            directory: "/w",
            chain: chain,
            recalled: session,
            transcript: .withheld,
            servers: []
        )
        #expect(ACPDriver.openings(handedOver, abilities) == [.new])
    }

    @Test("a tool is what its updates leave: what they do not name stays, a list replaces, raw output says more")
    func toolMerge() {
        let updates: [(JSONValue, ToolActivity)] = [
            (["kind": "execute"], ToolActivity(id: "t", name: "execute", status: "pending")),
            (
                ["title": "bash: ls", "status": "in_progress"],
                ToolActivity(id: "t", name: "bash: ls", status: "in_progress")
            ),
            (
                ["kind": "read", "title": nil, "rawInput": ["a": 1]],
                ToolActivity(id: "t", name: "bash: ls", status: "in_progress", input: ["a": 1])
            ),
            (
                ["content": [1, 2]],
                ToolActivity(id: "t", name: "bash: ls", status: "in_progress", input: ["a": 1], output: [1, 2])
            ),
            (["content": []], ToolActivity(id: "t", name: "bash: ls", status: "in_progress", input: ["a": 1])),
            (
                ["rawOutput": "raw", "content": [3], "status": "completed"],
                ToolActivity(id: "t", name: "bash: ls", status: "completed", input: ["a": 1], output: "raw")
            ),
            (
                ["content": [4], "status": nil],
                ToolActivity(id: "t", name: "bash: ls", status: "completed", input: ["a": 1], output: "raw")
            ),
        ]
        var tool = ACPDriver.Tool(id: "t")
        for (update, expected) in updates {
            tool = tool.updated(update)
            #expect(tool.activity == expected)
        }
    }
}

@Suite struct UsageTests {
    private func told(_ mode: UsageMode, _ reports: [JSONValue], inherited: JSONValue? = nil) -> [JSONValue] {
        var meter = UsageMeter(mode: mode)
        meter.inherit(inherited)
        return reports.map { meter.turn($0) }
    }

    @Test("totals that only grow are told as differences, with the report beside them")
    func totals() {
        for mode in [UsageMode.auto, .cumulative] {
            #expect(
                self.told(mode, [["in": 10, "out": 3], ["in": 25, "out": 4], ["in": 26, "out": 9]]) == [
                    ["in": 10, "out": 3], ["in": 15, "out": 1, "reported": ["in": 25, "out": 4]],
                    ["in": 1, "out": 5, "reported": ["in": 26, "out": 9]],
                ]
            )
        }
    }

    @Test("figures that shrink once are the turn's own from then on")
    func perTurn() {
        let reports: [JSONValue] = [["in": 10, "out": 3], ["in": 20, "out": 2], ["in": 30, "out": 3]]
        #expect(self.told(.auto, reports) == reports)
        #expect(self.told(.perTurn, [["in": 1], ["in": 2]]) == [["in": 1], ["in": 2]])
        #expect(self.told(.auto, [["in": 3], ["in": 3], ["in": 4]]) == [["in": 3], ["in": 3], ["in": 4]])
        #expect(self.told(.auto, [["in": 3], ["other": 4]]) == [["in": 3], ["other": 4]])
    }

    @Test("totals whose counter began anew are told as they are, and then as differences again")
    func restarted() {
        let reports: [JSONValue] = [["in": 10], ["in": 4], ["in": 4], ["in": 9]]
        #expect(
            self.told(.cumulative, reports) == [
                ["in": 10], ["in": 4], ["in": 0, "reported": ["in": 4]], ["in": 5, "reported": ["in": 9]],
            ]
        )
    }

    @Test("a session that goes on goes on with its totals, or begins them anew")
    func inherited() {
        let before: JSONValue = ["in": 5, "reported": ["in": 40]]
        #expect(self.told(.auto, [["in": 47]], inherited: before) == [["in": 7, "reported": ["in": 47]]])
        #expect(
            self.told(.auto, [["in": 7], ["in": 9]], inherited: before) == [
                ["in": 7], ["in": 2, "reported": ["in": 9]],
            ]
        )
    }

    @Test("nested figures count, text stays, and what is no object is told as it is")
    func shapes() {
        #expect(
            self.told(.auto, [["a": ["b": 1], "unit": "t"], ["a": ["b": 3, "c": 1], "unit": "t"]])[1] == [
                "a": ["b": 2, "c": 1], "unit": "t", "reported": ["a": ["b": 3, "c": 1], "unit": "t"],
            ]
        )
        #expect(self.told(.auto, [7, "x"]) == [7, "x"])
    }

    @Test("a session's cost is told by turn, the size of its context as it is")
    func cost() {
        func report(_ used: Int64, _ amount: Double) -> JSONValue {
            ["used": .integer(used), "size": 100, "cost": ["amount": .number(amount), "currency": "EUR"]]
        }
        var meter = UsageMeter(mode: .auto)
        meter.begin()
        #expect(meter.progress(report(5, 0.1)) == report(5, 0.1))
        #expect(meter.progress(["used": 6, "size": 100]) == ["used": 6, "size": 100])
        meter.begin()
        for _ in 0..<2 {
            let told = meter.progress(report(9, 0.3))
            #expect(told["used"] == 9)
            #expect(told["cost"] == ["amount": .number(0.2), "currency": "EUR"])
            #expect(told["reported"]?["cost"]?["amount"] == .number(0.3))
        }
        meter.begin()
        #expect(meter.progress(report(1, 0.05)) == report(1, 0.05))
    }
}
