import Foundation
import Testing

@testable import Domain

@Suite("Accounts as values")
struct AccountTests {
    static let limits = Limits()

    /// One row of the decision about a conversation whose account nobody hosts.
    struct Row: Sendable, CustomTestStringConvertible {
        let policy: AbsencePolicy
        let counted: Duration
        let sinceLook: Duration?
        var isOwned = true
        var hasOther = false
        let verdict: AccountAbsence.Verdict

        var testDescription: String {
            "\(self.policy) counted \(self.counted) since \(self.sinceLook.map { "\($0)" } ?? "never")"
        }
    }

    /// The grace is 60 s, a gap of more than 3 s between two looks is none of absence.
    static let rows: [Row] = [
        // The first look begins, whatever was counted once.
        Row(policy: .fail, counted: .zero, sinceLook: nil, verdict: .begin),
        Row(policy: .fail, counted: .seconds(70), sinceLook: nil, verdict: .begin),
        Row(policy: .wait, counted: .seconds(70), sinceLook: nil, verdict: .begin),
        Row(policy: .migrate, counted: .seconds(70), sinceLook: nil, hasOther: true, verdict: .begin),
        // Before the grace is over.
        Row(policy: .fail, counted: .seconds(58), sinceLook: .seconds(1), verdict: .wait(.seconds(59))),
        Row(
            policy: .migrate,
            counted: .seconds(58),
            sinceLook: .seconds(1),
            hasOther: true,
            verdict: .wait(.seconds(59))
        ),
        // At it, and after it.
        Row(policy: .fail, counted: .seconds(59), sinceLook: .seconds(1), verdict: .fail(.seconds(60))),
        Row(policy: .fail, counted: .seconds(300), sinceLook: .seconds(1), verdict: .fail(.seconds(301))),
        Row(policy: .wait, counted: .seconds(59), sinceLook: .seconds(1), verdict: .wait(.seconds(60))),
        Row(policy: .migrate, counted: .seconds(59), sinceLook: .seconds(1), hasOther: true, verdict: .migrate),
        // Nowhere to migrate to.
        Row(policy: .migrate, counted: .seconds(59), sinceLook: .seconds(1), verdict: .fail(.seconds(60))),
        // No account owns it yet: nothing to migrate from.
        Row(
            policy: .migrate,
            counted: .seconds(59),
            sinceLook: .seconds(1),
            isOwned: false,
            verdict: .fail(.seconds(60))
        ),
        // Seen meanwhile, or nobody looked: the absence begins anew, however old the turn is.
        Row(policy: .fail, counted: .seconds(59), sinceLook: .seconds(4), verdict: .begin),
        Row(policy: .fail, counted: .seconds(59), sinceLook: .seconds(3_600), verdict: .begin),
        Row(policy: .migrate, counted: .seconds(59), sinceLook: .seconds(4), hasOther: true, verdict: .begin),
    ]

    @Test("every row of the table of absences comes out as written", arguments: rows)
    func absence(_ row: Row) {
        var need = AccountNeed(provider: "example")
        need.onAbsence = row.policy
        let absence = AccountAbsence(counted: row.counted, sinceLook: row.sinceLook)
        #expect(absence.decide(need, isOwned: row.isOwned, hasOther: row.hasOther, limits: Self.limits) == row.verdict)
    }

    @Test("an agent says what account it needs, and what is no such thing is refused by its member")
    func need() throws {
        let text = #"{"command":["a"],"account":{"provider":"p","on_absence":"migrate","grace_seconds":5}}"#
        let configuration = try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8))
        #expect(configuration.account?.onAbsence == .migrate)
        #expect(configuration.account?.graceSeconds == 5)
        #expect(configuration.problems.isEmpty)
        let again = try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(configuration))
        #expect(again == configuration)
        for (account, member) in [
            (#"{"provider":"a b"}"#, "account.provider"), (#"{"provider":"p","pool":""}"#, "account.pool"),
            (#"{"provider":"p","label":""}"#, "account.label"),
            (#"{"provider":"p","grace_seconds":-1}"#, "account.grace_seconds"),
        ] {
            let text = #"{"command":["a"],"account":\#(account)}"#
            let configuration = try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8))
            #expect(configuration.problems.map(\.member) == [member])
        }
        let spare = #"{"command":["a"],"warm":1,"account":{"provider":"p"}}"#
        let refused = try JSONDecoder().decode(AgentConfiguration.self, from: Data(spare.utf8))
        #expect(refused.problems.map(\.member) == ["warm"])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(AgentConfiguration.self, from: Data(#"{"command":["a"],"account":{"x":1}}"#.utf8))
        }
    }

    @Test("a need fits by provider, pool and label")
    func fits() throws {
        let account = HostedAccount(
            id: try #require(AccountID("0198a1b2-0000-7000-8000-000000000001")),
            identity: AccountIdentity(org: try OrganizationID("o"), provider: try ProviderID("p"), principal: "x"),
            pool: try PoolID("blue"),
            labels: ["one", "two"],
            slots: 1,
            environment: [:]
        )
        var need = AccountNeed(provider: "p")
        #expect(need.fits(account))
        need.pool = "red"
        #expect(!need.fits(account))
        need.pool = "blue"
        need.label = "two"
        #expect(need.fits(account))
        need.label = "three"
        #expect(!need.fits(account))
        #expect(!AccountNeed(provider: "q").fits(account))
    }

    @Test(
        "a turn that is pinned is never given up because its account is busy; others are, and so is it for other reasons"
    )
    func busyOwner() throws {
        let (long, limits) = (Duration.seconds(10_000), Self.limits)
        let again = Deferral.Verdict.lookAgain(after: limits.deferLongest)
        func queued(_ reason: String) throws -> QueuedTurn {
            let id = try #require(TurnID("0198a1b2-0000-7000-8000-000000000001"))
            return QueuedTurn(id: id, run: nil, deferredFor: long, reason: reason)
        }
        for deferral in [Deferral.accountBusy, .atCapacity] {
            #expect(deferral.verdict(waited: long, isPinned: true, limits: limits) == again)
            #expect(deferral.verdict(waited: long, isPinned: false, limits: limits) == .giveUp)
        }
        #expect(Deferral.lockBusy.verdict(waited: long, isPinned: true, limits: limits) == .giveUp)
        // But not for what it had waited for its account.
        for other in [Deferral.lockBusy, .circuitOpen("x")] {
            for (before, isPinned, beginsAnew) in [
                (Deferral.accountBusy, true, true), (Deferral.atCapacity, true, true),
                (Deferral.lockBusy, true, false), (Deferral.accountBusy, false, false),
            ] {
                let next = try queued(before.description)
                #expect(other.beginsAnew(next, isPinned: isPinned) == beginsAnew)
            }
        }
        let waiting = try queued(Deferral.atCapacity.description)
        #expect(!Deferral.accountBusy.beginsAnew(waiting, isPinned: true))
        let first = Deferral.Verdict.lookAgain(after: limits.deferFirst)
        #expect(Deferral.accountBusy.verdict(waited: nil, isPinned: true, limits: limits) == first)
    }
}
