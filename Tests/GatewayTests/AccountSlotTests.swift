import Domain
import Testing

@testable import Gateway

@Suite("Slots of accounts")
struct AccountSlotTests {
    private let need = AccountNeed(provider: "p")

    private func account(_ number: Int, org: String, slots: Int = 1) throws -> HostedAccount {
        HostedAccount(
            id: try #require(AccountID("0198a1b2-0000-7000-8000-00000000000\(number)")),
            identity: AccountIdentity(
                org: try OrganizationID(org),
                provider: try ProviderID("p"),
                principal: "seat-\(number)"
            ),
            pool: try PoolID("default"),
            labels: [],
            slots: slots,
            environment: [:]
        )
    }

    private func claim(_ org: OrganizationID, owner: AccountID? = nil, excluded: Set<AccountID> = []) throws -> Claim {
        Claim(
            number: ConversationNumber(1),
            org: org,
            agent: try AgentID("agent"),
            conversation: nil,
            lock: nil,
            next: nil,
            agentConfiguration: nil,
            agentVersion: 1,
            owner: owner,
            excluded: excluded
        )
    }

    @Test("an organization gets its own accounts only, however many free slots another's has")
    func organizations() throws {
        let (own, foreign) = (try self.account(1, org: "a"), try self.account(2, org: "b", slots: 9))
        let (a, b) = (own.identity.org, foreign.identity.org)
        let slots = AccountSlots()
        slots.host([own, foreign])
        #expect(try slots.fitting(self.need, self.claim(a)) == [own.id])
        #expect(try slots.take(for: self.need, self.claim(a)) == own)
        #expect(try slots.take(for: self.need, self.claim(a)) == nil, "its only slot is taken")
        #expect(try slots.take(for: self.need, self.claim(a, owner: foreign.id)) == nil, "not even as the owner")
        #expect(try slots.fitting(self.need, self.claim(a, owner: foreign.id)).isEmpty)
        #expect(try slots.take(for: self.need, self.claim(b, owner: foreign.id)) == foreign)
    }

    @Test("an account that is full on other replicas does not keep work from one that is free")
    func full() throws {
        let (large, small) = (try self.account(1, org: "a", slots: 9), try self.account(2, org: "a"))
        let slots = AccountSlots()
        slots.host([large, small])
        #expect(try slots.take(for: self.need, self.claim(large.identity.org)) == large)
        slots.noteFull(large.id)
        #expect(try slots.take(for: self.need, self.claim(large.identity.org)) == small)
        // It is still the best where there is no other, and the only one for what it owns.
        #expect(try slots.take(for: self.need, self.claim(large.identity.org)) == large)
        #expect(try slots.take(for: self.need, self.claim(large.identity.org, owner: large.id)) == large)
    }
}
