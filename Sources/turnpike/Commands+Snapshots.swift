/// The commands for snapshots and what is made of them.
extension Commands {
    private static let conversation = "AGENT CONVERSATION"

    static let snapshotsList = CommandSpec(
        path: ["snapshots", "list"],
        summary: "list the snapshots of a conversation",
        arguments: Self.conversation,
        arity: 2...2,
        options: Self.client + [Self.json],
        examples: [("turnpike snapshots list helper trip", "one a turn: bases and deltas")]
    )

    static let snapshotsExport = CommandSpec(
        path: ["snapshots", "export"],
        summary: "write the state after a turn into a file",
        arguments: Self.conversation,
        arity: 2...2,
        options: [
            OptionSpec(name: "--to", value: "FILE", help: "where to"),
            OptionSpec(name: "--turn", value: "NUMBER", help: "after which turn (default: the newest)"),
        ] + Self.client,
        details: [
            "Directory snapshots become one archive of the workspace, tar compressed with zstd. A blob is written as it",
            "is, and with deltas an archive of the base and each of them. Needs a token with the admin scope.",
        ],
        examples: [("turnpike snapshots export helper trip --to trip.tar.zst", "then: tar --zstd -tf trip.tar.zst")]
    )

    static let snapshotsPrune = CommandSpec(
        path: ["snapshots", "prune"],
        summary: "remove old snapshots of a conversation",
        arguments: Self.conversation,
        arity: 2...2,
        options: [
            OptionSpec(name: "--keep", value: "TURNS", help: "how many turns back from the newest to keep")
        ] + Self.client + [Self.json],
        details: [
            "Keeps the base that the kept ones stand on, so more may stay. The limit snapshot_keep_turns of the agent",
            "does the same by itself. Needs a token with the admin scope.",
        ],
        examples: [("turnpike snapshots prune helper trip --keep 10", "forks from before that are no longer possible")]
    )

    static let snapshotsVerify = CommandSpec(
        path: ["snapshots", "verify"],
        summary: "read every snapshot of a conversation and say whether all is well",
        arguments: Self.conversation,
        arity: 2...2,
        options: Self.client,
        details: [
            "Compares links and digests, and unpacks archives. Ends with 1 when something is damaged. Needs a token with",
            "the admin scope.",
        ],
        examples: [("turnpike snapshots verify helper trip", "reads all of them")]
    )

    static let fork = CommandSpec(
        path: ["fork"],
        summary: "begin a new conversation with the state that a turn left",
        arguments: "AGENT CONVERSATION NEW",
        arity: 3...3,
        options: [
            OptionSpec(name: "--from", value: "NUMBER", help: "the turn (default: the newest with a snapshot)")
        ] + Self.client + [Self.json],
        details: [
            "The old conversation goes on as it is. The new one has its own log, which begins empty; what was said before",
            "is in the old one's; an agent that makes nothing of the state is told it.",
        ],
        examples: [("turnpike fork helper trip trip-by-train --from 7", "as if turn 8 had not been")]
    )
}
