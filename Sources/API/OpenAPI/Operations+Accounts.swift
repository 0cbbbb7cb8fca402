import Domain

extension Operation {
    static let accounts: [String: Operation] = [
        "GET /v1/accounts": Operation(
            "List the accounts that workers may act as, and who hosts them.",
            .json("Accounts")
        ),
        "POST /v1/accounts": Operation(
            "Register an account, or find it; provider and principal make it one, a label is only its name.",
            body: "AccountRequest",
            .json("OneAccount"),
            statuses: [200, 201]
        ),
        "POST /v1/agents/{agent}/conversations/{conversation}/import": Operation(
            "Make a conversation of what was said elsewhere, and give it to an account.",
            body: "ImportRequest",
            .json("Conversation"),
            statuses: [201]
        ),
        "POST /v1/accounts/{account}/tokens": Operation(
            "Make a token that enrols remote workers; the answer alone shows its secret.",
            body: "EnrolmentRequest",
            .json("OneToken"),
            statuses: [201]
        ),
        "POST /v1/remote/claims": Operation(
            "Claim a turn for a remote worker, waiting for one; the same key gets the same turn.",
            body: "RemoteClaim",
            .json("RemoteAssignment")
        ),
        "POST /v1/remote/turns/{turn}/heartbeat": Operation(
            "Keep the lease of a remote run, and hear whether it is to end.",
            body: "RemoteTicket",
            .json("Any")
        ),
        "POST /v1/remote/turns/{turn}/events": Operation(
            "Write a numbered batch of events of a remote run, once.",
            body: "RemoteBatch",
            .json("Any")
        ),
        "POST /v1/remote/turns/{turn}/approvals": Operation(
            "Ask a numbered question of a remote run, and wait for its decision.",
            body: "RemoteQuestion",
            .json("Any")
        ),
        "POST /v1/remote/turns/{turn}/outcome": Operation(
            "End a remote run, once.",
            body: "RemoteOutcome",
            .json("Any")
        ),
        "GET /v1/accounts/{account}": Operation("Show an account.", .json("OneAccount")),
        "DELETE /v1/accounts/{account}": Operation(
            "Remove an account; the tokens that enrol its workers are revoked.",
            .nothing,
            statuses: [204]
        ),
        "DELETE /v1/accounts/{account}/labels/{label}": Operation(
            "Take a label from an account.",
            .nothing,
            statuses: [204]
        ),
    ]
}

extension Components {
    /// What every write of a remote run shows, and these.
    private static func ticket(_ members: [String: JSONValue], required: [String] = []) -> JSONValue {
        let ticket: [String: JSONValue] = [
            "attempt": Schema.integer(1...1_000_000), "epoch": Schema.integer(1...Int64.max), "lease": Schema.uuid,
        ]
        return Schema.request(
            ticket.merging(members) { first, _ in first },
            required: ["attempt", "epoch", "lease"] + required
        )
    }

    static let accounts: [String: JSONValue] = [
        "ImportRequest": Schema.request(
            [
                "turns": Schema.list(
                    Schema.object(["input": Schema.text(1...100_000), "reply": Schema.text]),
                    atLeast: 1
                ),
                "account": Schema.uuid,
            ],
            required: ["turns"]
        ),
        "EnrolmentRequest": Schema.request(
            ["name": Schema.line(1...128), "expires_in_seconds": Schema.integer(1...315_360_000)],
            required: ["name"]
        ),
        "RemoteClaim": Schema.request(
            [
                "claim_key": Schema.text(1...200, pattern: "^[ -~]+$"), "lease_seconds": Schema.integer(2...600),
                "wait_seconds": Schema.integer(0...30),
            ],
            required: ["claim_key"]
        ),
        "RemoteAssignment": Schema.object(["assignment": Schema.orNull(Schema.map)]),
        "RemoteTicket": Self.ticket([:]),
        "RemoteBatch": Self.ticket(
            ["batch": Schema.integer(1...Int64.max), "events": Schema.list(Schema.map, atLeast: 1)],
            required: ["batch", "events"]
        ),
        "RemoteQuestion": Self.ticket(
            [
                "question": Schema.integer(1...1_000_000), "tool": Schema.map, "arguments": Schema.any,
                "options": Schema.list(Schema.map, atLeast: 1), "wait_seconds": Schema.integer(0...30),
            ],
            required: ["question", "tool", "options"]
        ),
        "RemoteOutcome": Self.ticket(
            [
                "state": Schema.choice(["completed", "failed", "cancelled"]), "reply": Schema.text,
                "stop_reason": Schema.text, "usage": Schema.any, "message": Schema.text, "snapshot": Schema.text,
                "code": Schema.choice(RemoteOutcome.codes.map(\.rawValue)),
            ],
            required: ["state"]
        ),
        "AccountRequest": Schema.request(
            [
                "provider": Schema.name, "principal": Schema.line(1...500), "label": Schema.line(1...200),
                "pool": Schema.name,
                "slots": Schema.integer(1...100_000),
            ],
            required: ["provider", "principal"]
        ),
        "Account": Schema.object([
            "id": Schema.uuid, "provider": Schema.name, "principal": Schema.text, "labels": Schema.list(Schema.text),
            "pool": Schema.name, "slots": Schema.orNull(Schema.number), "held": Schema.number,
            "hosts": Schema.list(Schema.object(["replica": Schema.uuid, "slots": Schema.number])),
        ]),
        "OneAccount": Schema.object(["account": Schema.reference("Account")]),
        "Accounts": Schema.object(["accounts": Schema.list(Schema.reference("Account"))]),
    ]
}
