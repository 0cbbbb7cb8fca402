/// How long a waiting conversation has been without anybody who hosts its account: the time that this was seen to be so,
/// look after look, and never the age of its turn.
///
/// A look that found the account hosted leaves no trace, and neither does a time in which nobody looked; so a gap between
/// two looks starts the count anew. That errs on the side of waiting: after all replicas were away, the account's own has
/// the whole grace to come back.
package struct AccountAbsence: Sendable, Hashable {
    /// What the looks before this one had counted.
    package let counted: Duration
    /// Since the last look that found the account absent; nil when there was none.
    package let sinceLook: Duration?

    package init(counted: Duration, sinceLook: Duration?) {
        self.counted = counted
        self.sinceLook = sinceLook
    }

    /// The longest time between two looks that still counts as absence.
    package static func longestGap(_ limits: Limits) -> Duration { limits.accountInterval * 3 }

    /// The absence so far, this look included.
    package var soFar: Duration { self.counted + (self.sinceLook ?? .zero) }

    /// What to do about a conversation whose account is absent at this look.
    package enum Verdict: Sendable, Hashable {
        /// Its wait is counted from now on; its readers are told, unless they have been.
        case begin
        /// It waits on; the absence so far.
        case wait(Duration)
        /// Its next turn fails.
        case fail(Duration)
        /// It is given to whichever other account a replica hosts.
        case migrate
    }

    /// Decides by the agent's policy. `isOwned` is false for a conversation that no account owns yet, and `hasOther` says
    /// whether somebody hosts another account that the agent would take.
    package func decide(_ need: AccountNeed, isOwned: Bool, hasOther: Bool, limits: Limits) -> Verdict {
        guard let sinceLook = self.sinceLook, sinceLook <= Self.longestGap(limits) else { return .begin }
        let absent = self.soFar
        guard absent >= .seconds(need.graceSeconds) else { return .wait(absent) }
        switch need.onAbsence {
        case .wait: return .wait(absent)
        case .migrate where isOwned && hasOther: return .migrate
        case .migrate, .fail: return .fail(absent)
        }
    }
}

/// What readers are told when a conversation begins to wait for its account.
package struct AccountWait: Sendable, Hashable {
    /// The account that owns the conversation; nil when none does yet and any that fits would do.
    package let account: AccountID?
    /// What the agent needs.
    package let need: AccountNeed

    package init(account: AccountID?, need: AccountNeed) {
        self.account = account
        self.need = need
    }

    /// What the reason of each such wait begins with.
    package static let mark = "waiting_account:"

    /// The reason in words, as stored and shown.
    package var reason: String {
        let whose = self.account == nil ? "an account" : "its account"
        return "\(Self.mark) no live replica hosts \(whose) of \(self.need.provider)"
    }

    var json: JSONValue {
        [
            "account": self.account.map { .string($0.text) } ?? .null, "provider": .string(self.need.provider),
            "on_absence": .string(self.need.onAbsence.rawValue),
            "grace_seconds": .integer(Int64(self.need.graceSeconds)),
        ]
    }
}
