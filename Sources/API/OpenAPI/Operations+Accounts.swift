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
        "GET /v1/accounts/{account}": Operation("Show an account.", .json("OneAccount")),
        "DELETE /v1/accounts/{account}": Operation("Remove an account.", .nothing, statuses: [204]),
        "DELETE /v1/accounts/{account}/labels/{label}": Operation(
            "Take a label from an account.",
            .nothing,
            statuses: [204]
        ),
    ]
}

extension Components {
    static let accounts: [String: JSONValue] = [
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
