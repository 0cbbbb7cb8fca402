/// A name given by people or services: an organization, an agent, a conversation.
///
/// Names match `^[A-Za-z0-9._:-]{1,128}$` and are compared as bytes. Swift compares strings by canonical equivalence
/// ("é" in two spellings is one string), PostgreSQL by bytes; limiting the alphabet at the edge and comparing bytes
/// here makes both agree.
package struct Name<Kind>: Hashable, Sendable, CustomStringConvertible {
    /// The name, ASCII only.
    package let text: String

    /// Checks the alphabet and the length (1 to 128).
    package init(_ text: String) throws(InvalidName) {
        let bytes = text.utf8
        guard (1...128).contains(bytes.count), bytes.allSatisfy(Self.isAllowed) else {
            throw InvalidName(kind: String(describing: Kind.self), length: bytes.count)
        }
        self.text = text
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "-"):
            true
        default:
            false
        }
    }

    package var description: String { self.text }

    package static func == (left: Name, right: Name) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in self.text.utf8 { hasher.combine(byte) }
    }
}

/// A name that does not match `^[A-Za-z0-9._:-]{1,128}$`.
package struct InvalidName: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was to be named: Organization, Agent or Conversation.
    package let kind: String
    /// Its length in UTF-8 bytes. The text itself is not repeated: it may hold anything.
    package let length: Int

    package var description: String {
        "\(self.kind.lowercased()) must match ^[A-Za-z0-9._:-]{1,128}$ (got \(self.length) bytes)"
    }
}

/// Marks names of organizations.
package enum Organization {}
/// Marks names of agents.
package enum Agent {}
/// Marks names of conversations.
package enum Conversation {}
/// Marks names of providers of accounts.
package enum Provider {}
/// Marks names of pools of accounts.
package enum AccountPool {}

/// The tenant; nothing crosses it.
package typealias OrganizationID = Name<Organization>
/// A named worker configuration of an organization.
package typealias AgentID = Name<Agent>
/// A conversation's name within its agent.
package typealias ConversationID = Name<Conversation>
/// Where an account is one: an upstream service, a vendor, a machine.
package typealias ProviderID = Name<Provider>
/// Some of a provider's accounts, any of which will do.
package typealias PoolID = Name<AccountPool>

/// A generated identity: a UUID in lower-case text.
package struct UniqueID<Kind>: Hashable, Sendable, CustomStringConvertible {
    /// 36 characters, lower case.
    package let text: String

    /// Accepts the 36-character form in any case; nil for everything else.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        for (index, byte) in bytes.enumerated() {
            let isDash = byte == UInt8(ascii: "-")
            guard isDash == [8, 13, 18, 23].contains(index) else { return nil }
            guard isDash || Self.isHex(byte) else { return nil }
        }
        self.text = text.lowercased()
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default:
            false
        }
    }

    package var description: String { self.text }
}

/// Marks identities of turns.
package enum TurnKind {}
/// Marks identities of runs.
package enum RunKind {}
/// Marks identities of replicas.
package enum ReplicaKind {}
/// Marks identities of deployments.
package enum DeploymentKind {}
/// Marks identities of workspaces that were made before their conversation.
package enum WorkspaceKind {}
/// Marks the random half of a fence.
package enum NonceKind {}
/// Marks identities of API tokens.
package enum TokenKind {}
/// Marks identities of a worker's questions.
package enum ApprovalKind {}
/// Marks identities of accounts.
package enum AccountKind {}
/// Marks identities of standing rules for questions.
package enum ApprovalRuleKind {}

/// One user message and the outcome it is owed.
package typealias TurnID = UniqueID<TurnKind>
/// What lets a turn write the shared snapshot.
package typealias RunID = UniqueID<RunKind>
/// One gateway process, from boot to exit; a fresh one every boot.
package typealias ReplicaID = UniqueID<ReplicaKind>
/// One placement of a worker.
package typealias DeploymentID = UniqueID<DeploymentKind>
/// The workspace of a spare worker, and of the conversation that got it.
package typealias WorkspaceID = UniqueID<WorkspaceKind>
/// The part of a fence that no failover can hand out twice.
package typealias Nonce = UniqueID<NonceKind>
/// The public identity of an API token; not the secret.
package typealias TokenID = UniqueID<TokenKind>
/// A worker's question that people decide.
package typealias ApprovalID = UniqueID<ApprovalKind>
/// Who a worker acts as; made of organization, provider and principal.
package typealias AccountID = UniqueID<AccountKind>
/// A standing rule that decides questions, or says that people do.
package typealias ApprovalRuleID = UniqueID<ApprovalRuleKind>

/// The unit of mutual exclusion: the triple that names a conversation.
package struct ConversationKey: Hashable, Sendable, CustomStringConvertible {
    /// The organization it belongs to.
    package let org: OrganizationID
    /// The agent that serves it.
    package let agent: AgentID
    /// The conversation's name; nil where it has none.
    package let conversation: ConversationID

    package init(org: OrganizationID, agent: AgentID, conversation: ConversationID) {
        self.org = org
        self.agent = agent
        self.conversation = conversation
    }

    /// For logs and people; never hashed or parsed, since the separator may occur in a name.
    package var description: String { "\(self.org)/\(self.agent)/\(self.conversation)" }
}

/// The row by which the database knows a conversation. A direct turn runs in a row of its own that has no name.
package struct ConversationNumber: Hashable, Sendable, CustomStringConvertible, Comparable {
    /// The number itself.
    package let value: Int64

    package init(_ value: Int64) {
        self.value = value
    }

    package var description: String { String(self.value) }

    package static func < (left: ConversationNumber, right: ConversationNumber) -> Bool {
        left.value < right.value
    }
}
