import Domain

/// The routes' entries in `/openapi.json`. A test fails when a route has none, or an entry has no route.
extension Operation {
    private static let page: [String: JSONValue] = ["limit": Schema.integer(1...200), "after": Schema.name]
    private static let itemPage: [String: JSONValue] = [
        "limit": Schema.integer(1...100), "after": Schema.text, "order": Schema.choice(["asc", "desc"]),
    ]

    /// How a client of the dialects names the request, so that sending it again is no second turn, the conversation, and
    /// its own errands.
    private static let named: [String: JSONValue] = [
        "Idempotency-Key": Schema.text(1...200, pattern: "^[!-~]([ -~]*[!-~])?$"),
        "X-Conversation-Id": ["type": "string", "pattern": "^[A-Za-z0-9._:-]{0,128}$"], "X-Task": Schema.text,
    ]
    /// The number of the last event that a reader has.
    private static let cursor: [String: JSONValue] = ["Last-Event-ID": ["type": "string", "pattern": "^[0-9]{0,18}$"]]

    static let all = Self.native.merging(Self.dialects) { first, _ in first }
        .merging(Self.accounts) { first, _ in first }
        .merging(Self.installation) { first, _ in first }.merging(Self.schedules) { first, _ in first }

    private static let schedules: [String: Operation] = [
        "GET /v1/schedules": Operation("List schedules by name.", query: Self.page, .json("Schedules")),
        "GET /v1/schedules/{schedule}": Operation("Show a schedule.", .json("OneSchedule")),
        "PUT /v1/schedules/{schedule}": Operation(
            "Create or replace a schedule: an agent is told the same at certain times, each time in a new conversation.",
            body: "ScheduleRequest",
            .json("OneSchedule")
        ),
        "DELETE /v1/schedules/{schedule}": Operation(
            "Delete a schedule; the conversations of its runs stay.",
            .nothing,
            statuses: [204]
        ),
        "POST /v1/schedules/{schedule}/pause": Operation(
            "Have a schedule rest.",
            body: "Empty",
            isBodyOptional: true,
            .json("OneSchedule")
        ),
        "POST /v1/schedules/{schedule}/resume": Operation(
            "Have a schedule go on; what would have come meanwhile is not made up for.",
            body: "Empty",
            isBodyOptional: true,
            .json("OneSchedule")
        ),
    ]

    private static let native: [String: Operation] = [
        "POST /v1/agents/{agent}/conversations/{conversation}/turns": Operation(
            "Submit a turn; with Accept: text/event-stream, follow it to its outcome. Idempotency-Key may say the client_key.",
            body: "TurnRequest",
            .json("SubmittedTurn"),
            statuses: [200, 202],
            streams: true
        ),
        "GET /v1/agents/{agent}/conversations/{conversation}/turns": Operation(
            "List a conversation's turns, the newest first.",
            query: ["limit": Schema.integer(1...200), "before": Schema.integer(1...Int64.max)],
            .json("Turns")
        ),
        "POST /v1/agents/{agent}/turns": Operation(
            "Submit a direct turn, outside every conversation.",
            body: "TurnRequest",
            .json("SubmittedTurn"),
            statuses: [200, 202],
            streams: true
        ),
        "GET /v1/turns/{turn}": Operation(
            "Show a turn; with wait, held back until it has its outcome or so many seconds passed.",
            query: ["wait": Schema.integer(0...60)],
            .json("OneTurn")
        ),
        "POST /v1/turns/{turn}/cancel": Operation(
            "Cancel a turn.",
            body: "Empty",
            isBodyOptional: true,
            .json("OneTurn"),
            statuses: [200, 202]
        ),
        "GET /v1/agents/{agent}/conversations/{conversation}/events": Operation(
            "Follow a conversation's log; with Accept: application/json, read a page of it.",
            query: [
                "after": Schema.integer(0...Int64.max), "turn": Schema.uuid, "limit": Schema.integer(1...1_000),
            ],
            headers: Self.cursor,
            .json("Events"),
            streams: true
        ),
        "GET /v1/agents/{agent}/conversations": Operation(
            "List an agent's conversations by name.",
            query: Self.page,
            .json("Conversations")
        ),
        "GET /v1/agents/{agent}/conversations/{conversation}": Operation(
            "Show a conversation.",
            .json("Conversation")
        ),
        "GET /v1/agents/{agent}/conversations/{conversation}/snapshots": Operation(
            "List a conversation's snapshots, the oldest first.",
            query: ["limit": Schema.integer(1...1_000), "after": Schema.integer(0...Int64.max)],
            .json("Snapshots")
        ),
        "GET /v1/agents/{agent}/conversations/{conversation}/snapshots/{seq}": Operation(
            "Read the body of a snapshot as it was stored.",
            .text("application/octet-stream")
        ),
        "DELETE /v1/agents/{agent}/conversations/{conversation}/snapshots": Operation(
            "Remove snapshots that a newer base makes superfluous.",
            query: ["keep_turns": Schema.integer(0...1_000_000_000)],
            required: ["keep_turns"],
            .json("Pruned")
        ),
        "POST /v1/agents/{agent}/conversations/{conversation}/fork": Operation(
            "Begin a new conversation from a settled turn's snapshot.",
            body: "Fork",
            .json("Conversation"),
            statuses: [201]
        ),
        "DELETE /v1/agents/{agent}/conversations/{conversation}": Operation(
            "Delete a conversation; its name stays taken.",
            .nothing,
            statuses: [204]
        ),
        "GET /v1/approvals": Operation(
            "List questions of workers, the oldest first.",
            query: [
                "state": Schema.choice(ApprovalState.allCases.map(\.rawValue)), "after": Schema.uuid,
                "limit": Schema.integer(1...1_000),
            ],
            .json("Approvals")
        ),
        "GET /v1/approvals/{approval}": Operation("Show a question.", .json("OneApproval")),
        "POST /v1/approvals/{approval}": Operation(
            "Decide a question; the first decision wins.",
            body: "Decision",
            .json("OneApproval")
        ),
        "GET /v1/approval-rules": Operation(
            "List standing rules for questions, the oldest first.",
            query: ["after": Schema.uuid, "limit": Schema.integer(1...1_000)],
            .json("ApprovalRules")
        ),
        "POST /v1/approval-rules": Operation(
            "Make a standing rule for questions from now on.",
            body: "ApprovalRuleRequest",
            .json("OneApprovalRule"),
            statuses: [201]
        ),
        "DELETE /v1/approval-rules/{rule}": Operation("Remove a standing rule.", .nothing, statuses: [204]),
        "GET /v1/agents": Operation("List agents by name.", .json("Agents")),
        "GET /v1/agents/{agent}": Operation(
            "Show an agent, and the replicas that hold back its workers.",
            .json("Agent")
        ),
        "PUT /v1/agents/{agent}": Operation(
            "Create or replace an agent.",
            body: "AgentConfiguration",
            .json("Agent")
        ),
        "DELETE /v1/agents/{agent}": Operation("Delete an agent.", .nothing, statuses: [204]),
        "POST /v1/agents/{agent}/check": Operation(
            "Start an agent once and say what it can do.",
            body: "AgentConfiguration",
            isBodyOptional: true,
            .json("Check")
        ),
    ]

    private static let dialects: [String: Operation] = [
        "GET /v1/models": Operation("List the agents as models.", .json("Models")),
        "GET /v1/models/{model}": Operation("Show an agent as a model.", .json("Model")),
        "POST /v1/chat/completions": Operation(
            "OpenAI's Chat Completions. Only the user's last message is new input. Members not listed are ignored.",
            body: "ChatRequest",
            headers: Self.named,
            .json("ChatCompletion"),
            streams: true
        ),
        "POST /v1/responses": Operation(
            "OpenAI's Responses. Members that are not listed are ignored.",
            body: "ResponseRequest",
            headers: Self.named,
            .json("Response"),
            streams: true
        ),
        "GET /v1/responses/{response}": Operation(
            "Show a response, or stream it from an event on.",
            query: [
                "stream": Schema.flag, "starting_after": Schema.integer(0...2_147_483_647), "include": Schema.text,
                "include[]": Schema.text, "include_obfuscation": Schema.flag,
            ],
            .json("Response"),
            streams: true
        ),
        "DELETE /v1/responses/{response}": Operation("Delete a response.", .json("Deleted")),
        "POST /v1/responses/{response}/cancel": Operation(
            "Cancel a response's turn.",
            body: "Empty",
            isBodyOptional: true,
            .json("Response")
        ),
        "GET /v1/responses/{response}/input_items": Operation(
            "List what a response was asked.",
            query: Self.itemPage.merging(["include": Schema.text, "include[]": Schema.text]) { first, _ in first },
            .json("Items")
        ),
        "POST /v1/conversations": Operation(
            "Name a conversation before it has an agent.",
            body: "ThreadRequest",
            isBodyOptional: true,
            .json("Thread")
        ),
        "GET /v1/conversations/{conversation}": Operation("Show a named conversation.", .json("Thread")),
        "POST /v1/conversations/{conversation}": Operation(
            "Replace a named conversation's metadata.",
            body: "ThreadChange",
            .json("Thread")
        ),
        "DELETE /v1/conversations/{conversation}": Operation(
            "Delete a named conversation and all that was said in it.",
            .json("Deleted")
        ),
        "POST /v1/conversations/{conversation}/items": Operation(
            "Add messages that the agent is told with the next turn.",
            body: "ItemsRequest",
            query: ["include": Schema.text, "include[]": Schema.text],
            .json("Items")
        ),
        "GET /v1/conversations/{conversation}/items": Operation(
            "List a conversation's messages.",
            query: Self.itemPage.merging(["include": Schema.text, "include[]": Schema.text]) { first, _ in first },
            .json("Items")
        ),
        "GET /v1/conversations/{conversation}/items/{item}": Operation(
            "Show a message.",
            query: ["include": Schema.text, "include[]": Schema.text],
            .json("Item")
        ),
    ]

    private static let installation: [String: Operation] = [
        "GET /v1/tokens": Operation("List the organization's tokens.", .json("Tokens")),
        "POST /v1/tokens": Operation(
            "Make a token that ends no later than the caller's own; the answer alone shows its secret.",
            body: "TokenRequest",
            .json("OneToken"),
            statuses: [201]
        ),
        "DELETE /v1/tokens/{token}": Operation("Revoke a token.", .nothing, statuses: [204]),
        "GET /v1/quotas": Operation(
            "Show the caps on turns without an outcome: in force, the own, the ceilings.",
            .json("Quotas")
        ),
        "PUT /v1/quotas": Operation(
            "Replace the organization's own caps, none above its ceiling; what is left out or null has that alone.",
            body: "Quota",
            .json("Quotas")
        ),
        "POST /v1/tokens/{token}/rotate": Operation(
            "Give a token that lasts no longer than the caller's another secret; the one before stays good for a while.",
            body: "Rotation",
            isBodyOptional: true,
            .json("OneToken")
        ),
        "GET /v1/audit": Operation(
            "List who changed what, the newest first; operators see all organizations, or the one of org.",
            query: [
                "limit": Schema.integer(1...1_000), "before": Schema.integer(1...Int64.max), "org": Schema.name,
            ],
            .json("Audit")
        ),
        "POST /v1/session": Operation(
            "Sign a browser in.",
            body: "Empty",
            isBodyOptional: true,
            .json("Session"),
            statuses: [201]
        ),
        "GET /v1/session": Operation("Say who is speaking.", .json("Speaker")),
        "DELETE /v1/session": Operation("Sign a browser out.", .nothing, statuses: [204]),
        "GET /v1/replicas": Operation("List replicas.", .json("Replicas")),
        "POST /v1/replicas/{replica}/drain": Operation(
            "Ask a replica to hand over what it holds; `self` is the one that answers.",
            body: "Empty",
            isBodyOptional: true,
            .json("OneReplica"),
            statuses: [202]
        ),
        "GET /v1/workers": Operation("List this replica's workers, and the agents it holds back.", .json("Workers")),
        "GET /v1/dead-letters": Operation(
            "List dead letters, the newest first.",
            query: ["limit": Schema.integer(1...1_000)],
            .json("DeadLetters")
        ),
        "POST /v1/dead-letters/{turn}/redrive": Operation(
            "Send a dead letter's input again, as a new turn; once.",
            body: "Empty",
            isBodyOptional: true,
            .json("OneDeadLetter"),
            statuses: [202, 200]
        ),
        "GET /v1/organizations": Operation(
            "List organizations by name.",
            query: ["after": Schema.name, "limit": Schema.integer(1...1_000)],
            .json("Organizations")
        ),
        "PUT /v1/organizations/{org}": Operation(
            "Create an organization if it is missing.",
            body: "Empty",
            isBodyOptional: true,
            .json("Organization")
        ),
        "GET /v1/organizations/{org}/quotas": Operation("Show an organization's caps.", .json("Quotas")),
        "PUT /v1/organizations/{org}/quotas": Operation(
            "Replace the ceilings above an organization's own caps; what is left out or null has none.",
            body: "Quota",
            .json("Quotas")
        ),
        "GET /livez": Operation("Whether the process answers.", .json("Status")),
        "GET /readyz": Operation("Whether a balancer should send requests here.", .json("Status")),
        "GET /metrics": Operation("Figures for Prometheus.", .text("text/plain")),
        "GET /openapi.json": Operation("This document.", .json("Any")),
        "GET /": Operation("The chat page.", .text("text/html")),
        "GET /page.css": Operation("The chat page's style.", .text("text/css")),
        "GET /page.js": Operation("The chat page's script.", .text("text/javascript")),
    ]
}
