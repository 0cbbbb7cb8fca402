import Crypto
package import Domain
import Postgres

// Standing rules where questions meet them. An ask reads them under a share of the lock on its agent's row, and a decision
// for always takes that lock whole: whichever comes first, no question is asked past a rule, and none stays open beside it.
extension Store {
    /// Locks the agent's row, for whoever asks or for whoever makes a rule of a decision. Before any conversation's.
    static func holdRules(org: OrganizationID, agent: String, toChange: Bool) -> Query {
        """
        SELECT FROM turnpike.agents WHERE org = \(org.text)::text AND agent = \(agent)::text
        \(unescaped: toChange ? "FOR UPDATE" : "FOR SHARE")
        """
    }

    /// Whether there is a rule that could fit a question of `agent`.
    package func hasRules(org: OrganizationID, agent: AgentID) async throws -> Bool {
        try await !self.pool.query(
            """
            SELECT FROM turnpike.approval_rules r
            WHERE r.org = \(org.text)::text AND coalesce(r.agent, \(agent.text)::text) = \(agent.text)::text LIMIT 1
            """
        ).isEmpty
    }

    /// All rules that could fit a question of `agent`.
    static func rules(org: OrganizationID, agent: AgentID) -> Query {
        """
        SELECT \(unescaped: RuleColumns.all) FROM turnpike.approval_rules r
        WHERE r.org = \(org.text)::text AND coalesce(r.agent, \(agent.text)::text) = \(agent.text)::text
        ORDER BY r.rule
        """
    }

    /// What the rules in `rows` say to a question; nil when none fits, or when one allows what the worker does not offer.
    static func decision(_ question: ApprovalQuestion, by rows: [Row]) throws -> RuledApproval? {
        let ruling = ApprovalRuling.decide(
            by: try RuleColumns.read(rows),
            tool: question.tool.name,
            arguments: question.arguments,
            hash: Digest.hex(try ApprovalColumns.hash(question))
        )
        guard let ruling else { return nil }
        let wish: ApprovalWish? =
            switch ruling.effect {
            case .allow: .allow
            case .deny: .deny
            case .ask: nil
            }
        guard let option = wish?.choice(of: question.options) else { return .people }
        return .decided(option: option, rule: ruling.rule)
    }
}

/// What standing rules make of a question.
enum RuledApproval: Sendable, Hashable {
    /// People decide, whatever the agent's policy is.
    case people
    /// Nobody is asked.
    case decided(option: String, rule: ApprovalRuleID?)
}

/// What statements about rules share.
enum RuleColumns {
    static let all = """
        r.rule, r.agent, r.tool, r.arguments, encode(r.arguments_hash, 'hex') AS arguments_hash, r.effect, r.created_by,
            r.reason, \(SQLTime.text("r.created_at")) AS created_at
        """

    static func rule(_ row: Row) throws -> ApprovalRule {
        ApprovalRule(
            id: try row.id("rule"),
            agent: try row.get("agent"),
            tool: try row.get("tool"),
            arguments: try row.get("arguments"),
            argumentsHash: try row.get("arguments_hash"),
            effect: ApprovalEffect(rawValue: try row.get("effect")),
            createdBy: try row.get("created_by"),
            reason: try row.get("reason"),
            createdAt: try row.get("created_at")
        )
    }

    static func read(_ rows: [Row]) throws -> [(rule: ApprovalRule, arguments: RuleArguments)] {
        try rows.map { row in
            let rule = try Self.rule(row)
            return (rule: rule, arguments: Self.arguments(rule))
        }
    }

    /// What a rule wants of the arguments. JSON that PostgreSQL stores and this program cannot read exists.
    static func arguments(_ rule: ApprovalRule) -> RuleArguments {
        guard rule.argumentsHash == nil, let text = rule.arguments else { return .any }
        do {
            return .some(try StoredJSON.value(text))
        } catch {
            return .unreadable
        }
    }
}
