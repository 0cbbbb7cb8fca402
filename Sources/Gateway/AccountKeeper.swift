import Domain
import Runtime
import Store

/// Says which accounts this replica hosts, and sees to conversations whose account nobody does.
///
/// Any number of replicas look at the same time; of what they find the first one's counts. Nothing here depends on the
/// account's own replica, which may be gone for good.
final class AccountKeeper: Service {
    let name = "accounts"
    private let store: Store
    private let slots: AccountSlots
    private let registry: ConversationRegistry
    private let feed: EventFeed
    private let wakeDispatcher: WakeUp
    private let configuration: GatewayConfiguration
    private let log: Logger
    private let metrics: Metrics
    /// Entries of this replica's file that were registered, by their places.
    private let registered = Locked<Set<Int>>([])

    /// So many conversations are read, and at most so many turns ended, at once.
    private let atOnce: Int

    init(tools: SessionTools, configuration: GatewayConfiguration, atOnce: Int = 500) {
        self.atOnce = atOnce
        self.store = tools.store
        self.slots = tools.accounts
        self.registry = tools.registry
        self.feed = tools.feed
        self.wakeDispatcher = tools.wakeDispatcher
        self.configuration = configuration
        self.log = tools.log
        self.metrics = tools.metrics
    }

    /// So many times a look reads, if all that it finds is absent.
    private static let longestLook = 200

    func run(until stop: StopSignal) async throws {
        while await !stop.wait(atMost: self.configuration.limits.accountInterval * Double.random(in: 0.8...1.2)) {
            do {
                try await self.look()
            } catch {
                self.log.warning("absent accounts could not be looked at", ["error": .error(error)])
            }
        }
    }

    // MARK: - Hosting

    /// Registers what is not yet, and writes the rows that go with this replica's record. Called with each beat, since a
    /// peer that had taken this replica for dead has removed them.
    func host() async throws {
        let hostings = self.configuration.accounts
        guard !hostings.isEmpty else { return }
        for (place, hosting) in hostings.enumerated() where !self.registered.withLock({ $0.contains(place) }) {
            do {
                try await self.register(hosting, place)
            } catch {
                // The others are hosted all the same; this one is tried again with the next beat.
                self.log.error(
                    "account is not hosted: it cannot be registered",
                    ["org": .text(hosting.identity.org.text), "place": .count(place), "error": .error(error)]
                )
            }
        }
        let allowed = self.registered.withLock { registered in
            hostings.enumerated().filter { registered.contains($0.offset) }.map(\.element)
        }
        let hosted = try await self.store.host(allowed, on: self.configuration.replica)
        self.slots.host(hosted)
        // Removed by its organization: what runs on it ends, and may not begin again.
        for session in self.registry.sessions() {
            guard let account = session.account, !hosted.contains(where: { $0.id == account.id }) else { continue }
            session.end(.reconfigured)
        }
    }

    private func register(_ hosting: AccountHosting, _ place: Int) async throws {
        let identity = hosting.identity
        let registration = try await self.store.tenant(identity.org).register(
            provider: identity.provider,
            principal: identity.principal,
            label: hosting.label,
            pool: hosting.pool,
            slots: nil
        )
        switch registration {
        case .made(let record), .known(let record):
            self.registered.withLock { _ = $0.insert(place) }
            self.log.info("account is hosted", ["account": .text(record.id.text), "slots": .count(hosting.slots)])
        case .labelTaken:
            // Under one label two accounts would be taken for one: this one stays out until that is put right.
            self.log.error(
                "account is not hosted: its label is another account's",
                ["provider": .text(identity.provider.text), "label": .text(hosting.label ?? "")]
            )
        }
    }

    // MARK: - Absence

    /// Looks once at all conversations whose account is absent, and decides about each. All are noted before any turn
    /// fails or moves: however many there are, the next look comes before their absence counts as interrupted.
    func look() async throws {
        var seen: Set<ConversationNumber> = []
        var endings: [Ending] = []
        for _ in 0..<Self.longestLook {
            let absent = try await self.store.absences(limit: self.atOnce)
            let unseen = absent.filter { seen.insert($0.number).inserted }
            guard !unseen.isEmpty else { break }
            let decided = unseen.map { self.decide($0) }
            try await self.note(decided.map { $0.note })
            endings += decided.compactMap { $0.ending }
            guard absent.count == self.atOnce else { break }
        }
        // The rest is found again by the next look, in the same order.
        for ending in endings.prefix(self.atOnce) {
            switch ending {
            case .fail(let conversation, let absent): try await self.fail(conversation, after: absent)
            case .migrate(let conversation): try await self.migrate(conversation)
            }
        }
    }

    /// What becomes of a conversation whose account was absent for too long.
    private enum Ending {
        case fail(AbsentConversation, Duration)
        case migrate(AbsentConversation)
    }

    /// What is to be written about a conversation, and what is to become of it. One whose turn fails is noted too: the
    /// turns behind it have waited as long.
    private func decide(_ conversation: AbsentConversation) -> (note: AbsenceNote, ending: Ending?) {
        let absence = conversation.absence
        let verdict = absence.decide(
            conversation.need,
            isOwned: conversation.owner != nil,
            hasOther: conversation.hasOther,
            limits: self.configuration.limits
        )
        let goesOn = AbsenceNote(conversation: conversation, counted: absence.soFar, begins: false)
        switch verdict {
        case .begin:
            let begins = !conversation.isTold
            return (AbsenceNote(conversation: conversation, counted: .zero, begins: begins), nil)
        case .wait: return (goesOn, nil)
        case .fail(let counted): return (goesOn, .fail(conversation, counted))
        case .migrate: return (goesOn, .migrate(conversation))
        }
    }

    private func note(_ notes: [AbsenceNote]) async throws {
        let told = try await self.store.note(notes)
        for number in told { self.feed.changed(number) }
        guard !told.isEmpty else { return }
        self.metrics.count(
            "turnpike_account_waits_total",
            "Waits for an absent account that began.",
            by: Double(told.count)
        )
    }

    private func fail(_ conversation: AbsentConversation, after absent: Duration) async throws {
        let failed = try await self.store.failQueued(
            conversation.number,
            turn: conversation.turn,
            code: .accountUnavailable,
            message: "\(FailureCode.accountUnavailable.meaning) It was absent for \(absent.components.seconds) s."
        )
        guard failed else { return }
        self.feed.changed(conversation.number)
        self.metrics.count(
            "turnpike_turns_total",
            "Turns settled by this replica, by outcome.",
            labels: ["outcome": FailureCode.accountUnavailable.rawValue]
        )
    }

    private func migrate(_ conversation: AbsentConversation) async throws {
        guard let owner = conversation.owner else { return }
        guard try await self.store.migrate(conversation.number, turn: conversation.turn, from: owner) else { return }
        self.log.warning(
            "a conversation leaves its absent account",
            ["number": .number(conversation.number.value), "account": .text(owner.text)]
        )
        self.metrics.count("turnpike_account_migrations_total", "Conversations that left an absent account.")
        self.feed.changed(conversation.number)
        self.wakeDispatcher.signal()
    }
}
