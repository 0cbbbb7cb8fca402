import Domain
import Foundation
import Testing

@Suite("Names and identities")
struct IdentifierTests {
    @Test("names of the allowed alphabet pass", arguments: ["a", "A.b_c:d-9", String(repeating: "x", count: 128)])
    func allowed(_ text: String) throws {
        #expect(try ConversationID(text).text == text)
    }

    @Test(
        "everything else is refused",
        arguments: [
            "", " ", "a b", "a/b", "a\0b", "a\r\nb", "a\n", "é", "e\u{301}", "../x", "a%2e", "ａ", "a\u{200b}",
            String(repeating: "x", count: 129),
        ]
    )
    func refused(_ text: String) {
        #expect(throws: InvalidName.self) { try ConversationID(text) }
    }

    @Test("an error about a name does not repeat the name")
    func noEcho() {
        let error = #expect(throws: InvalidName.self) { try OrganizationID("se\u{1b}[31mcret") }
        #expect(error?.description.contains("cret") == false)
    }

    @Test("a UUID is kept in lower case, and nothing else passes for one")
    func uuids() {
        #expect(TurnID("ABCDEF00-0000-4000-8000-00000000000F")?.text == "abcdef00-0000-4000-8000-00000000000f")
        for text in ["", "abc", "abcdef00-0000-4000-8000-00000000000g", "abcdef0000004000800000000000000f"] {
            #expect(TurnID(text) == nil)
        }
    }
}

@Suite("Deferring a turn")
struct DeferralTests {
    @Test("the delay grows with the wait and stays within its bounds")
    func growth() {
        let limits = Limits()
        #expect(Deferral.decide(waited: nil, limits: limits) == .lookAgain(after: limits.deferFirst))
        #expect(Deferral.decide(waited: .seconds(8), limits: limits) == .lookAgain(after: .seconds(2)))
        #expect(Deferral.decide(waited: .seconds(200), limits: limits) == .lookAgain(after: limits.deferLongest))
    }

    @Test("the wait has its own deadline, and each reason its own code")
    func deadline() {
        let limits = Limits()
        #expect(Deferral.decide(waited: limits.leaseWait, limits: limits) == .giveUp)
        #expect(Deferral.lockBusy.failureCode == .leaseTimeout)
        #expect(Deferral.atCapacity.failureCode == .leaseTimeout)
        let decision = SpawnGuard.decide(
            storeMode: .snapshot,
            run: RunID("00000000-0000-4000-8000-000000000001"),
            org: nil,
            agent: AgentID.example,
            conversation: nil
        )
        guard case .refuse(let refusal) = consume decision else {
            Issue.record("the guard did not refuse")
            return
        }
        #expect(Deferral.refused(refusal).failureCode == .guardRefused)
    }
}

extension AgentID {
    fileprivate static let example: AgentID = {
        guard let name = try? AgentID("a") else { preconditionFailure("a is a name") }
        return name
    }()
}

@Suite("The snapshot chain")
struct SnapshotChainTests {
    private func link(_ seq: Int64, _ parent: Int64, _ kind: Snapshot.Kind, bytes: Int = 1) -> Snapshot {
        Snapshot(seq: seq, parent: parent, kind: kind, body: Array(repeating: 0, count: bytes))
    }

    @Test("a chain is one base and the deltas that follow each other")
    func wholeness() throws {
        let chain = try SnapshotChain([self.link(3, 1, .base), self.link(4, 3, .delta), self.link(9, 4, .delta)])
        #expect(chain.head == 9)
        #expect(chain.shape.head == 9)
        #expect(try SnapshotChain([]).head == 0)
    }

    @Test("gaps, a second base and a delta without a base are found")
    func brokenness() {
        let base = self.link(1, 0, .base)
        #expect(throws: BrokenChain(seq: 2)) { try SnapshotChain([self.link(2, 1, .delta)]) }
        #expect(throws: BrokenChain(seq: 3)) { try SnapshotChain([base, self.link(3, 2, .delta)]) }
        #expect(throws: BrokenChain(seq: 2)) { try SnapshotChain([base, self.link(2, 1, .base)]) }
    }

    @Test("a base is due at first, after the agreed number of deltas, and when they outgrow it")
    func bases() {
        var shape = ChainShape.empty
        #expect(shape.wantsBase(maximumDeltas: 2))
        #expect(shape.accepts(SnapshotUpdate(kind: .delta, body: [])) == false)
        shape.append(SnapshotUpdate(kind: .base, body: [1]), seq: 1)
        #expect(shape.wantsBase(maximumDeltas: 2) == false)
        shape.append(SnapshotUpdate(kind: .delta, body: [1]), seq: 2)
        shape.append(SnapshotUpdate(kind: .delta, body: [1]), seq: 3)
        #expect(shape.wantsBase(maximumDeltas: 2))
        shape.append(SnapshotUpdate(kind: .base, body: [1]), seq: 4)
        shape.append(SnapshotUpdate(kind: .delta, body: Array(repeating: 0, count: 20_000)), seq: 5)
        #expect(shape.wantsBase(maximumDeltas: 50))
        #expect(shape.head == 5)
    }

    @Test("a large base lasts for more deltas, unless there are to be none")
    func largeBase() {
        var shape = ChainShape.empty
        shape.append(SnapshotUpdate(kind: .base, body: Array(repeating: 0, count: 100 << 10)), seq: 1)
        for seq in 2...6 { shape.append(SnapshotUpdate(kind: .delta, body: [1]), seq: Int64(seq)) }
        #expect(shape.wantsBase(maximumDeltas: 2) == false)
        shape.append(SnapshotUpdate(kind: .delta, body: [1]), seq: 7)
        #expect(shape.wantsBase(maximumDeltas: 2))
        #expect(shape.wantsBase(maximumDeltas: 0))
    }
}

@Suite("An agent's configuration")
struct AgentConfigurationTests {
    private func decode(_ text: String) throws -> AgentConfiguration {
        try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8))
    }

    @Test("what is left out has a default, and encoding keeps all of it")
    func roundTrip() throws {
        let configuration = try self.decode(#"{"command":["x","y"],"limits":{"idle_seconds":5}}"#)
        #expect(configuration.driver == .acp && configuration.storeMode == .snapshot)
        #expect(configuration.limits.idleSeconds == 5 && configuration.limits.turnSeconds == 600)
        let again = try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(configuration))
        #expect(again == configuration)
        #expect(try self.decode(#"{"driver":"command","command":["x"]}"#).storeMode == .none)
    }

    @Test(
        "misspelt members and wrong types are refused",
        arguments: [
            #"{"command":["x"],"storemode":"none"}"#, #"{"command":"x"}"#, #"{}"#, #"{"command":["x"],"driver":"mcp"}"#,
            #"{"command":["x"],"limits":{"idle":1}}"#, #"{"command":["x"],"limits":{"idle_seconds":"1"}}"#,
        ]
    )
    func refused(_ text: String) {
        #expect(throws: DecodingError.self) { try self.decode(text) }
    }

    @Test(
        "patterns that could match nothing, or mean nothing here, are refused",
        arguments: [
            #""kind":"directory","include":["/home"]"#, #""kind":"directory","include":["a/b"]"#,
            #""kind":"directory","exclude":["home/../x"]"#, #""kind":"directory","exclude":["!x"]"#,
            #""kind":"directory","exclude":[""]"#, #""kind":"directory","exclude":["home//x"]"#,
            #""kind":"blob","exclude":["*.log"]"#,
        ]
    )
    func patterns(_ members: String) throws {
        #expect(try self.decode(#"{"command":["x"],"snapshots":{\#(members)}}"#).problems.count == 1)
    }

    @Test("a command agent may have snapshots of its directory")
    func directory() throws {
        let snapshots = #"{"kind":"directory","include":["home/.x/**","*.db","work/"],"exclude":["**/tmp/*"]}"#
        let configuration = try self.decode(
            #"{"driver":"command","command":["x"],"store_mode":"snapshot","snapshots":\#(snapshots)}"#
        )
        #expect(configuration.problems.isEmpty && configuration.snapshots.kind == .directory)
        let again = try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(configuration))
        #expect(again == configuration)
    }

    @Test("a configuration that cannot run names its problem")
    func problems() throws {
        #expect(try self.decode(#"{"command":[]}"#).problems.map(\.member) == ["command"])
        let snapshotCommand = try self.decode(#"{"driver":"command","command":["x"],"store_mode":"snapshot"}"#)
        #expect(snapshotCommand.problems.map(\.member) == ["store_mode"])
        let limits = try self.decode(#"{"command":["x"],"limits":{"turn_seconds":0,"line_bytes":1}}"#)
        #expect(limits.problems.map(\.member) == ["limits.turn_seconds", "limits.line_bytes"])
        let environment = try self.decode(#"{"command":["x"],"environment":{"A=B":"1"}}"#)
        #expect(environment.problems.map(\.member) == ["environment"])
        // Linux refuses one string of 128 KiB with its terminator, and about 2 MiB of all.
        var large = AgentConfiguration(driver: .acp, command: ["x"], storeMode: .none)
        large.environment = ["A": String(repeating: "x", count: 131_069)]
        #expect(large.problems.isEmpty)
        large.environment = ["A": String(repeating: "x", count: 131_070)]
        #expect(large.problems.map(\.member) == ["environment"])
        large.environment = [:]
        large.command = ["x"] + [String](repeating: "xxxxxxxxxx", count: 60_000)
        #expect(large.problems.map(\.member) == ["command"])
    }
}

@Suite("The limits")
struct LimitsTests {
    @Test("the defaults fit together, at every lock trust window that can be set")
    func defaults() {
        #expect(Limits().contradictions.isEmpty)
        for seconds in 2...60 {
            var limits = Limits()
            limits.trustLocks(for: .seconds(seconds))
            #expect(limits.contradictions.isEmpty)
        }
    }

    @Test("a replica that would believe longer than the server keeps its locks is refused")
    func contradictions() {
        var limits = Limits()
        limits.lockRelease = .seconds(4)
        #expect(limits.contradictions.count == 2)
        limits = Limits()
        limits.lockTrust = .milliseconds(500)
        #expect(limits.contradictions.isEmpty == false)
    }
}

@Suite("The failure catalogue")
struct FailureCodeTests {
    @Test("every code says what happened and what to do", arguments: FailureCode.allCases)
    func sentences(_ code: FailureCode) {
        #expect(code.meaning.hasSuffix(".") && code.remedy.hasSuffix("."))
        #expect(code.rawValue.allSatisfy { $0 == "_" || ("a"..."z").contains($0) })
    }
}
