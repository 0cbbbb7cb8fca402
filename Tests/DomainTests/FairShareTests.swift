import Domain
import Testing

@Suite("Sharing places out")
struct FairShareTests {
    private let now = ContinuousClock.now

    private func claimant(_ org: String, _ agent: String = "x") throws -> Claimant {
        Claimant(org: try OrganizationID(org), agent: try AgentID(agent))
    }

    /// Whether `holder` gives a place up to `other`, with so many places each.
    private func gives(_ holder: Claimant, _ mine: Int, _ other: Claimant, _ theirs: Int) -> Bool {
        var share = FairShare()
        let held = Dictionary([(holder, mine), (other, theirs)], uniquingKeysWith: max).filter { $0.value > 0 }
        let isOwed = share.wish(other, until: self.now + .seconds(1), held: held)
        #expect(share.isEmpty == !isOwed)
        return share.yields(holder, held: held, at: self.now)
    }

    @Test("a place changes hands where that brings the two closer together, or the other has none")
    func transfer() throws {
        let (a, b) = (try self.claimant("a"), try self.claimant("b"))
        #expect(self.gives(a, 4, b, 0))
        #expect(self.gives(a, 4, b, 2))
        #expect(!self.gives(a, 3, b, 2), "it would only change who has more")
        #expect(self.gives(a, 1, b, 0), "one place is shared in time")
        #expect(!self.gives(a, 2, b, 4))
        #expect(!self.gives(a, 9, a, 9), "nobody owes themselves anything")
    }

    @Test("organizations are compared whole, and only within one its agents")
    func organizations() throws {
        let (big, small) = (try self.claimant("a", "big"), try self.claimant("a", "small"))
        #expect(self.gives(big, 3, small, 0))
        var share = FairShare()
        let other = try self.claimant("b")
        let isOwed = share.wish(other, until: self.now + .seconds(1), held: [big: 2, small: 2, other: 3])
        #expect(!isOwed, "4 against 3")
        #expect(share.isEmpty)
    }

    @Test("a wish is fulfilled once, and ends by itself or when its claimant has a place")
    func once() throws {
        let (a, b) = (try self.claimant("a"), try self.claimant("b"))
        let (held, end) = ([a: 4], self.now + .seconds(1))
        var share = FairShare()
        var answers = [share.wish(b, until: end, held: held)]
        answers.append(share.yields(a, held: held, at: self.now))
        answers.append(share.yields(a, held: held, at: self.now))
        #expect(answers == [true, true, false], "fulfilled once")
        answers = [share.wish(b, until: end, held: held), share.yields(a, held: held, at: end + .seconds(1))]
        #expect(answers == [true, false], "over by itself")
        answers = [share.wish(b, until: end, held: held)]
        share.served(b)
        answers.append(share.yields(a, held: held, at: self.now))
        #expect(answers == [true, false], "served elsewhere")
    }
}
