import Domain
import Foundation
import Gateway
import HTTP
import Postgres
import Runtime
import TestKit
import Testing

@testable import API

/// A replica whose workers may use models, the listener where they do, and an upstream that answers as a test says.
struct ModelRig: Sendable {
    /// The key that no worker may see.
    static let key = "sk-real-\(UInt64.random(in: 1 << 60 ... .max))"

    let fixture: APIFixture
    let upstream: ScriptedUpstream
    /// Where workers reach their models.
    let port: Int
    let folder: ScratchDirectory

    /// `change` is for the upstream's entry.
    static func with(
        limits: Limits = Limits(),
        _ change: @escaping @Sendable (inout Upstream) -> Void = { _ in },
        _ body: @escaping @Sendable (ModelRig) async throws -> Void
    ) async throws {
        try await APIFixture.with(limits: limits) { fixture in
            let reactor = try Reactor(name: "models-test")
            let (client, scripted, folder) = (
                UpstreamClient(reactor: reactor), ScriptedUpstream(), try ScratchDirectory()
            )
            let upstreamServer = try Self.server(scripted.router, reactor: try Reactor(name: "upstream-test"))
            var upstream = Upstream(url: "http://127.0.0.1:\(try upstreamServer.bind())/v1")
            change(&upstream)
            var elsewhere = upstream
            elsewhere.organizations = ["other"]
            let free = Upstream(url: "http://127.0.0.1:\(try LocalSocket.freePort())/v1")
            let proxy = ModelProxy(
                gateway: fixture.gateway,
                upstreams: [
                    "up": ModelProxy.Keyed(upstream, key: Secret(Self.key)),
                    "elsewhere": ModelProxy.Keyed(elsewhere, key: Secret(Self.key)),
                    "nobody": ModelProxy.Keyed(free, key: nil),
                ],
                client: client,
                log: Logger(threshold: .debug) { line in fixture.lines.withLock { $0.append(line) } },
                metrics: fixture.metrics
            )
            let server = try Self.server(proxy.router(), reactor: reactor) { proxy.renderError($0, $1) }
            let port = try server.bind()
            fixture.gateway.offerModels(at: "http://127.0.0.1:\(port)")
            let rig = ModelRig(fixture: fixture, upstream: scripted, port: port, folder: folder)
            let stop = StopSignal()
            let services = ServiceGroup([upstreamServer, server], patience: .seconds(10), log: .silent)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await services.run(until: stop) }
                defer { stop.raise() }
                try await body(rig)
            }
            await client.close()
            withExtendedLifetime(folder) {}
        }
    }

    private static func server(
        _ router: Router,
        reactor: Reactor,
        _ render: @escaping @Sendable (any Error, Request?) -> Response = { error, _ in
            Response(status: 500, text: "\(error)")
        }
    ) throws -> HTTPServer {
        var configuration = HTTPConfiguration()
        configuration.drain = .milliseconds(100)
        return HTTPServer(
            configuration: configuration,
            router: router,
            reactor: reactor,
            log: .silent,
            metrics: Metrics(),
            renderError: render
        )
    }

    // MARK: - Turns

    /// A turn that runs until `end`, and the token that its worker has: the test speaks in its name.
    struct Turn: Sendable {
        let id: String
        let path: String
        /// Of the worker's environment first.
        let tokens: [String]
    }

    /// The agent whose turns last as long as tests want; a process a turn unless `driver` says otherwise.
    func put(
        _ agent: String = "holder",
        driver: DriverKind = .command,
        warm: Int = 0,
        _ change: (inout ModelAccess) -> Void = { _ in }
    ) async throws {
        let script = #"read path; echo $OPENAI_API_KEY; while [ ! -e "$path" ]; do sleep 0.02; done"#
        let double = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Doubles/model_double.py").path
        let command = driver == .command ? ["sh", "-c", script] : ["python3", "-S", double]
        var configuration = AgentConfiguration(driver: driver, command: command, storeMode: .none)
        var access = ModelAccess(upstream: "up")
        change(&access)
        configuration.model = access
        configuration.warm = warm
        configuration.limits.graceSeconds = 1
        _ = try await self.fixture.gateway.tenant(self.fixture.org).putAgent(try AgentID(agent), configuration)
    }

    func submit(_ text: String, agent: String = "holder", conversation: String = "c") async throws -> String {
        let path = "/v1/agents/\(agent)/conversations/\(conversation)/turns"
        let accepted = try await self.fixture.client.send("POST", path, #"{"input":"\#(text)"}"#).json()
        return try #require(accepted["turn"]?["id"]?.text)
    }

    /// Begins a turn and returns once its worker has said its token.
    func begin(agent: String = "holder", conversation: String = "c", verb: String = "") async throws -> Turn {
        let path = self.folder.file("end-\(UInt64.random(in: 0 ... .max))")
        let id = try await self.submit(verb + path, agent: agent, conversation: conversation)
        let said = Locked("")
        try await eventually("the worker to say its token") {
            let text = try await self.events(agent: agent, conversation: conversation)
                .filter { $0["turn"]?.text == id && $0["type"]?.text == "delta" }.compactMap { $0["text"]?.text }
                .joined()
            said.withLock { $0 = text }
            return text.hasSuffix(verb.isEmpty ? "\n" : " ")
        }
        let tokens = said.withLock { $0 }.split(whereSeparator: \.isWhitespace).map(String.init)
        return Turn(id: id, path: path, tokens: tokens)
    }

    /// Lets a turn end, and returns its outcome's state.
    @discardableResult
    func end(_ turn: Turn) async throws -> String? {
        try Data().write(to: URL(fileURLWithPath: turn.path))
        return try await self.outcome(turn.id)["state"]?.text
    }

    func outcome(_ turn: String) async throws -> JSONValue {
        let shown = try await self.fixture.client.send("GET", "/v1/turns/\(turn)?wait=20").json()
        return try #require(shown["turn"]?["outcome"])
    }

    func events(agent: String = "holder", conversation: String = "c") async throws -> [JSONValue] {
        let path = "/v1/agents/\(agent)/conversations/\(conversation)/events"
        let page = try await self.fixture.client.send("GET", path, headers: ["Accept": "application/json"]).json()
        return page["events"]?.elements ?? []
    }

    /// The backends that the log names, in order.
    func backends(agent: String = "holder", conversation: String = "c") async throws -> [String] {
        try await self.events(agent: agent, conversation: conversation)
            .filter { $0["type"]?.text == "backend" }.compactMap { $0["id"]?.text }
    }

    /// The backend that the conversation shows.
    func shownBackend(agent: String = "holder", conversation: String = "c") async throws -> String? {
        let path = "/v1/agents/\(agent)/conversations/\(conversation)"
        return try await self.fixture.client.send("GET", path).json()["backend"]?.text
    }

    // MARK: - Calls

    /// A worker's side of the listener.
    func model(_ turn: Turn) -> Probe { Probe(port: self.port, token: turn.tokens.first) }

    /// A call that names its model and nothing else.
    func call(_ turn: Turn, _ more: String = "", path: String = "/v1/chat/completions") async throws -> Answer {
        try await self.model(turn).send("POST", path, #"{"model":"m"\#(more)}"#)
    }

    /// Runs statements past every replica.
    func sql(_ query: Query) async throws {
        let pool = ConnectionPool(
            configuration: .init(conninfo: self.fixture.conninfo, size: 1),
            reactor: try TestPlatform.reactor(),
            blocking: TestPlatform.blocking,
            log: .silent,
            metrics: Metrics()
        )
        _ = try await pool.query(query)
        await pool.close()
    }
}

/// An upstream on a real socket.
final class ScriptedUpstream: Sendable {
    typealias Script = @Sendable (Request) async throws -> Response

    private struct State {
        var requests: [Request] = []
        var script: Script = { _ in ScriptedUpstream.completion("hello") }
    }

    private let state = Locked(State())

    /// What came so far.
    var requests: [Request] { self.state.withLock { $0.requests } }

    /// How it answers from now on.
    func answer(_ script: @escaping Script) {
        self.state.withLock { $0.script = script }
    }

    /// Answers in the name of a backend.
    func serve(as backend: String) {
        self.answer { _ in Self.completion("hello", headers: [Upstream.defaultHintHeader: backend]) }
    }

    static func completion(_ text: String, headers: Headers = [:], tokens: Int = 3) -> Response {
        let body = #"{"choices":[{"message":{"content":"\#(text)"}}],"usage":{"total_tokens":\#(tokens)}}"#
        return Response(status: 200, headers: headers, text: body, type: "application/json")
    }

    var router: Router {
        var router = Router()
        for (method, pattern) in [("POST", "/v1/{a}"), ("POST", "/v1/{a}/{b}"), ("GET", "/v1/{a}")] {
            router.on(method, pattern, limit: 64 << 20) { request in
                let script = self.state.withLock { state in
                    state.requests.append(request)
                    return state.script
                }
                return try await script(request)
            }
        }
        return router
    }
}
