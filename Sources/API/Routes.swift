import Domain
import HTTP

extension API {
    /// Every route on one screen. Each has an entry in `OpenAPI/Operations.swift`.
    var routes: [Route] {
        let agent = "/v1/agents/{agent}"
        let conversation = "\(agent)/conversations/{conversation}"
        let response = "/v1/responses/{response}"
        let thread = "/v1/conversations/{conversation}"
        let schedule = "/v1/schedules/{schedule}"
        let run = "/v1/remote/turns/{turn}"
        return [
            Route("POST", "\(conversation)/turns", .scoped(.turns, self.turns.submit)),
            Route("GET", "\(conversation)/turns", .scoped(.turns, self.turns.list)),
            Route("POST", "\(agent)/turns", .scoped(.turns, self.turns.submitDirect)),
            Route("GET", "/v1/turns/{turn}", .scoped(.turns, self.turns.show)),
            Route("POST", "/v1/turns/{turn}/cancel", .scoped(.turns, self.turns.cancel)),

            Route("GET", "\(conversation)/events", .scoped(.turns, self.events.read)),
            Route("GET", "\(agent)/conversations", .scoped(.turns, self.conversations.list)),
            Route("GET", conversation, .scoped(.turns, self.conversations.show)),
            Route("DELETE", conversation, .scoped(.turns, self.conversations.delete)),
            Route("GET", "\(conversation)/snapshots", .scoped(.turns, self.snapshots.list)),
            Route("GET", "\(conversation)/snapshots/{seq}", .scoped(.admin, self.snapshots.read)),
            Route("DELETE", "\(conversation)/snapshots", .scoped(.admin, self.snapshots.prune)),
            Route("POST", "\(conversation)/fork", .scoped(.turns, self.snapshots.fork)),
            Route("POST", "\(conversation)/import", .scoped(.turns, self.imports.make), carriesHistory: true),

            Route("GET", "/v1/approvals", .scoped(.turns, self.approvals.list)),
            Route("GET", "/v1/approvals/{approval}", .scoped(.turns, self.approvals.show)),
            Route("POST", "/v1/approvals/{approval}", .scoped(.turns, self.approvals.decide)),

            Route("GET", "/v1/approval-rules", .scoped(.agents, self.approvalRules.list)),
            Route("POST", "/v1/approval-rules", .scoped(.agents, self.approvalRules.create)),
            Route("DELETE", "/v1/approval-rules/{rule}", .scoped(.agents, self.approvalRules.delete)),
            Route("GET", "/v1/schedules", .scoped(.turns, self.schedules.list)),
            Route("GET", schedule, .scoped(.turns, self.schedules.show)),
            Route("PUT", schedule, .scoped(.turns, self.schedules.put)),
            Route("DELETE", schedule, .scoped(.turns, self.schedules.delete)),
            Route("POST", "\(schedule)/pause", .scoped(.turns, self.schedules.pause)),
            Route("POST", "\(schedule)/resume", .scoped(.turns, self.schedules.resume)),

            Route("GET", "/v1/agents", .scoped(.agents, self.agents.list)),
            Route("GET", agent, .scoped(.agents, self.agents.show)),
            Route("PUT", agent, .scoped(.agents, self.agents.put)),
            Route("DELETE", agent, .scoped(.agents, self.agents.delete)),
            Route("POST", "\(agent)/check", .scoped(.admin, self.agents.check)),

            Route("GET", "/v1/tokens", .scoped(.admin, self.tokens.list)),
            Route("POST", "/v1/tokens", .scoped(.admin, self.tokens.create)),
            Route("DELETE", "/v1/tokens/{token}", .scoped(.admin, self.tokens.revoke)),
            Route("POST", "/v1/tokens/{token}/rotate", .scoped(.admin, self.tokens.rotate)),
            Route("GET", "/v1/audit", .either(.admin, self.audit.list, operators: self.audit.listAll)),

            Route("GET", "/v1/accounts", .scoped(.admin, self.accounts.list)),
            Route("POST", "/v1/accounts", .scoped(.admin, self.accounts.register)),
            Route("GET", "/v1/accounts/{account}", .scoped(.admin, self.accounts.show)),
            Route("POST", "/v1/accounts/{account}/tokens", .scoped(.admin, self.accounts.enrol)),
            Route("DELETE", "/v1/accounts/{account}", .scoped(.admin, self.accounts.delete)),
            Route("DELETE", "/v1/accounts/{account}/labels/{label}", .scoped(.admin, self.accounts.deleteLabel)),
            Route("GET", "/v1/quotas", .scoped(.admin, self.quotas.show)),
            Route("PUT", "/v1/quotas", .scoped(.admin, self.quotas.put)),

            Route("POST", "/v1/remote/claims", .workers(self.remote.claim)),
            Route("POST", "\(run)/heartbeat", .workers(self.remote.beat)),
            Route("POST", "\(run)/events", .workers(self.remote.append)),
            Route("POST", "\(run)/approvals", .workers(self.remote.ask)),
            Route("POST", "\(run)/outcome", .workers(self.remote.settle), carriesHistory: true),

            Route("GET", "/v1/models", .scoped(.turns, self.models.list)),
            Route("GET", "/v1/models/{model}", .scoped(.turns, self.models.show)),
            Route("POST", "/v1/chat/completions", .scoped(.turns, self.chat.complete), carriesHistory: true),

            Route("POST", "/v1/session", .scoped(.turns, self.sessions.open)),
            Route("GET", "/v1/session", .scoped(.turns, self.sessions.show)),
            Route("DELETE", "/v1/session", .scoped(.turns, self.sessions.close)),

            Route("POST", "/v1/responses", .scoped(.turns, self.responses.create), carriesHistory: true),
            Route("GET", response, .scoped(.turns, self.responses.show)),
            Route("DELETE", response, .scoped(.turns, self.responses.delete)),
            Route("POST", "\(response)/cancel", .scoped(.turns, self.responses.cancel)),
            Route("GET", "\(response)/input_items", .scoped(.turns, self.responses.inputItems)),

            Route("POST", "/v1/conversations", .scoped(.turns, self.threads.create)),
            Route("GET", thread, .scoped(.turns, self.threads.show)),
            Route("POST", thread, .scoped(.turns, self.threads.update)),
            Route("DELETE", thread, .scoped(.turns, self.threads.delete)),
            Route("POST", "\(thread)/items", .scoped(.turns, self.threads.add)),
            Route("GET", "\(thread)/items", .scoped(.turns, self.threads.items)),
            Route("GET", "\(thread)/items/{item}", .scoped(.turns, self.threads.item)),

            Route("GET", "/v1/replicas", .operators(self.operators.replicas)),
            Route("GET", "/v1/workers", .operators(self.operators.workers)),
            Route("POST", "/v1/replicas/{replica}/drain", .operators(self.operators.drain)),
            Route("GET", "/v1/dead-letters", .operators(self.operators.deadLetters)),
            Route("POST", "/v1/dead-letters/{turn}/redrive", .operators(self.operators.redrive)),
            Route("GET", "/v1/organizations", .operators(self.operators.organizations)),
            Route("PUT", "/v1/organizations/{org}", .operators(self.operators.putOrganization)),
            Route("GET", "/v1/organizations/{org}/quotas", .operators(self.quotas.showAny)),
            Route("PUT", "/v1/organizations/{org}/quotas", .operators(self.quotas.putAny)),

            Route("GET", "/livez", .open(self.health.live)),
            Route("GET", "/readyz", .open(self.health.ready)),
            Route("GET", "/metrics", .open(self.health.scrape)),
            Route("GET", "/openapi.json", .open(self.document.show)),
            Route("GET", "/", .open(Page.html)),
            Route("GET", "/page.css", .open(Page.style)),
            Route("GET", "/page.js", .open(Page.script)),
        ]
    }
}
