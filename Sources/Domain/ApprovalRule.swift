// Standing rules for questions, as values.

/// What a rule does to a question that it fits.
package enum ApprovalEffect: String, Sendable, Hashable, CaseIterable {
    /// The first option for this once.
    case allow
    /// The option to reject once, or the word that names no option.
    case deny
    /// People decide each time, whatever the agent's own policy and other rules allow.
    case ask
}

/// A standing rule of an organization: which questions it fits, and what it does to them.
package struct ApprovalRule: Sendable, Hashable {
    /// Its identity.
    package var id: ApprovalRuleID
    /// Nil for every agent of the organization.
    package var agent: String?
    /// The tool's name, in which `*` stands for any text.
    package var tool: String
    /// What the arguments must have; nil for any. As the rule's maker wrote it.
    package var arguments: String?
    /// Of a rule that a decision made: the questions with this hash, and no others, as hexadecimal digits.
    package var argumentsHash: String?
    /// Nil for a word that this version does not know.
    package var effect: ApprovalEffect?
    /// The token that made it.
    package var createdBy: String?
    /// Why, in the words of whoever made it.
    package var reason: String?
    /// RFC 3339 in UTC.
    package var createdAt: String

    package init(
        id: ApprovalRuleID,
        agent: String?,
        tool: String,
        arguments: String?,
        argumentsHash: String?,
        effect: ApprovalEffect?,
        createdBy: String?,
        reason: String?,
        createdAt: String
    ) {
        self.id = id
        self.agent = agent
        self.tool = tool
        self.arguments = arguments
        self.argumentsHash = argumentsHash
        self.effect = effect
        self.createdBy = createdBy
        self.reason = reason
        self.createdAt = createdAt
    }
}

/// What the rules say to one question.
package struct ApprovalRuling: Sendable, Hashable {
    /// The rule that decided.
    package let rule: ApprovalRuleID
    /// What it does.
    package let effect: ApprovalEffect

    /// Decides about a question by all rules of its agent and its organization; nil when none fits it. A denial comes
    /// before people, and people come before an allowance. A rule that cannot be read may have been either, so it asks
    /// people wherever its tool fits.
    package static func decide(
        by rules: [(rule: ApprovalRule, arguments: RuleArguments)],
        tool: String,
        arguments: JSONValue?,
        hash: String
    ) -> ApprovalRuling? {
        let fitting = rules.compactMap { rule, wanted -> ApprovalRuling? in
            guard rule.argumentsHash.map({ $0 == hash }) ?? Self.fits(rule.tool, tool) else { return nil }
            switch wanted {
            case .any: break
            case .some(let wanted):
                guard rule.argumentsHash != nil || Self.fits(wanted, arguments ?? .null) else { return nil }
            case .unreadable: return ApprovalRuling(rule: rule.id, effect: rule.effect == .deny ? .deny : .ask)
            }
            return ApprovalRuling(rule: rule.id, effect: rule.effect ?? .ask)
        }
        for effect in [ApprovalEffect.deny, .ask, .allow] {
            if let first = fitting.first(where: { $0.effect == effect }) { return first }
        }
        return nil
    }

    private init(rule: ApprovalRuleID, effect: ApprovalEffect) {
        self.rule = rule
        self.effect = effect
    }

    /// Whether `name` is what `pattern` says, byte for byte, `*` standing for any text.
    static func fits(_ pattern: String, _ name: String) -> Bool {
        let (pattern, name) = (Array(pattern.utf8), Array(name.utf8))
        let star = UInt8(ascii: "*")
        var (at, next) = (0, 0)
        // Where the last star was, and what it has swallowed so far.
        var retry: (pattern: Int, name: Int)?
        while next < name.count {
            if at < pattern.count, pattern[at] == star {
                retry = (at, next)
                at += 1
            } else if at < pattern.count, pattern[at] == name[next] {
                at += 1
                next += 1
            } else if let last = retry {
                retry = (last.pattern, last.name + 1)
                (at, next) = (last.pattern + 1, last.name + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == star }
    }

    /// Whether `arguments` have what `wanted` has: the members of an object, each in the same sense; anything else whole.
    static func fits(_ wanted: JSONValue, _ arguments: JSONValue) -> Bool {
        guard case .object(let members) = wanted, case .object(let given) = arguments else {
            return wanted == arguments
        }
        return members.allSatisfy { name, value in given[name].map { Self.fits(value, $0) } ?? false }
    }
}

/// What a rule wants of the arguments, as it was read.
package enum RuleArguments: Sendable, Hashable {
    /// Whatever they are.
    case any
    /// They have all that this has.
    case some(JSONValue)
    /// It was stored in a way that this version cannot read.
    case unreadable
}

extension ApprovalOption {
    /// What a decision for this option means for questions to come; nil for one about this once.
    package var standing: ApprovalEffect? {
        switch self.kind {
        case "allow_always": .allow
        case "reject_always": .deny
        default: nil
        }
    }

    /// Whether the worker goes on with what it asked for.
    package var allows: Bool { self.kind.hasPrefix("allow") }
}
