import Domain
import Store
import TestKit
import Testing

@Suite("Tokens that enrol workers")
struct EnrolmentTests {
    private func register(_ fixture: StoreFixture, _ principal: String) async throws -> AccountID {
        let provider = try ProviderID("test")
        let registration = try await fixture.tenant.register(
            provider: provider,
            principal: principal,
            label: nil,
            pool: nil,
            slots: nil
        )
        switch registration {
        case .made(let record), .known(let record): return record.id
        case .labelTaken: throw FixtureError.noTerm
        }
    }

    @Test("an account that is deleted takes its workers' tokens with it, for the day it comes back too")
    func deleted() async throws {
        let fixture = try await StoreFixture.make()
        let (gone, kept) = (try await self.register(fixture, "gone"), try await self.register(fixture, "kept"))
        let hashes: [[UInt8]] = [.init(repeating: 1, count: 32), .init(repeating: 2, count: 32)]
        for (account, hash) in zip([gone, kept], hashes) {
            _ = try await fixture.tenant.createToken(
                freshID(),
                name: "worker",
                hash: hash,
                scopes: [],
                lifetime: nil,
                account: account
            )
        }
        #expect(try await fixture.store.grants(hashes: hashes).count == 2)
        #expect(try await fixture.tenant.deleteAccount(gone))
        #expect(try await fixture.store.grants(hashes: hashes).values.map(\.account) == [kept])
        #expect(try await self.register(fixture, "gone") == gone, "it is the same account again")
        #expect(try await fixture.store.grants(hashes: hashes).values.map(\.account) == [kept])
    }
}
