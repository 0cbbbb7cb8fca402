import Domain
import Foundation
import Glibc
import Runtime

/// `chat`: a conversation at the terminal, or one question from a script.
struct ChatCommand: Sendable {
    let client: GatewayClient
    let agent: AgentID
    let conversation: ConversationID
    let question: String?
    private let typist = Typist()

    init(_ context: CommandContext) throws {
        let invocation = context.invocation
        self.client = try context.client()
        self.agent = try CommandContext.name(invocation.value("--agent") ?? "default", as: AgentID.self)
        let named = invocation.value("--conversation") ?? "chat-" + UUID().uuidString.lowercased()
        self.conversation = try CommandContext.name(named, as: ConversationID.self)
        self.question = invocation.arguments.first
    }

    /// Returns how the program ends.
    func run() async throws -> ExitCode {
        let interrupts = Interrupts()
        let reactor = try Reactor(name: "chat")
        let watch = try Signals.watch([SIGINT, SIGTERM], on: reactor) { _ in interrupts.arrived() }
        defer {
            watch.cancel(thenClose: true)
            reactor.stop()
        }
        if let question = self.question {
            return try await self.say(question, style: Console.isTerminal ? .terminal : .plain, interrupts)
        }
        return try await self.converse(interrupts)
    }

    // MARK: - A conversation

    private func converse(_ interrupts: Interrupts) async throws -> ExitCode {
        let typed = Console.hasTypist
        let style: ChatRenderer.Style = Console.isTerminal ? .terminal : .plain
        if typed {
            Console.warn("Talking to \(self.agent). Ctrl-C cancels a turn, Ctrl-D leaves.\n")
            Console.warn("To go on later: turnpike chat --agent \(self.agent) --conversation \(self.conversation)\n")
        }
        while true {
            if typed { Console.write("\n> ") }
            guard let line = try await self.typist.line() else { break }
            guard !line.allSatisfy(\.isWhitespace) else { continue }
            do {
                let ending = try await self.say(line, style: style, interrupts)
                guard typed || ending == .success else { return ending }
            } catch let failure as CommandFailure where typed {
                // At a terminal the user may mend it and go on; a script must not go on without an answer.
                Console.warn("turnpike: \(failure)\n")
            }
        }
        if typed { Console.write("\n") }
        return .success
    }

    // MARK: - A turn

    /// Submits `text` and shows its events until its outcome, across lost connections.
    private func say(
        _ text: String,
        style: ChatRenderer.Style,
        _ interrupts: Interrupts
    ) async throws -> ExitCode {
        let turn = ChatTurn(style: style)
        interrupts.begin {
            // Before the gateway has named the turn there is nothing to cancel.
            guard turn.id != nil else { return false }
            Console.warn("\nCancelling; Ctrl-C again leaves.\n")
            turn.cancelWanted.raise()
            return true
        }
        defer { interrupts.end() }
        return try await withThrowingTaskGroup(of: ExitCode?.self) { group in
            group.addTask { try await self.follow(text, turn) }
            group.addTask {
                await turn.cancelWanted.wait()
                if turn.cancelWanted.isRaised, let id = turn.id { try await self.cancel(id) }
                return nil
            }
            if style == .terminal, Console.hasTypist {
                group.addTask {
                    for await question in turn.questions { try await self.decide(question, turn) }
                    return nil
                }
            }
            while let ended = try await group.next() {
                guard let ended else { continue }
                group.cancelAll()
                return ended
            }
            return .failure
        }
    }

    private func follow(_ text: String, _ turn: ChatTurn) async throws -> ExitCode {
        let path =
            "/v1/agents/\(GatewayClient.segment(self.agent.text))/conversations/"
            + GatewayClient.segment(self.conversation.text)
        // The same key however often it is sent: a lost answer never makes a second turn.
        let submission = GatewayClient.Call(
            method: "POST",
            path: path + "/turns",
            body: ["input": .string(text)],
            headers: ["Idempotency-Key: \(UUID().uuidString)"]
        )
        let backoff = Backoff(first: .milliseconds(200), longest: .seconds(3))
        var attempt = 0
        while true {
            var call = submission
            if turn.id != nil {
                call = GatewayClient.Call(path: path + "/events")
                if let last = turn.lastEventID { call.headers.append("Last-Event-ID: \(last)") }
            }
            let seen = turn.events
            let end = try await self.client.stream(call) { turn.take($0) }
            if let ending = turn.ending { return ending }
            attempt = turn.events > seen ? 1 : attempt + 1
            guard attempt <= 12 else {
                let reason = if case .lost(let message) = end { message } else { "the stream ended early" }
                throw CommandFailure(.unreachable, reason, remedy: turn.id.map { "The turn goes on: \($0)" })
            }
            // A gateway that was never there is not worth waiting for.
            if attempt == 2, turn.id == nil, case .lost(let message) = end {
                throw CommandFailure(.unreachable, message)
            }
            try await Task.sleep(for: backoff.delay(attempt: attempt))
        }
    }

    /// Asks the person until the question has an answer, theirs or another's.
    private func decide(_ question: ChatQuestion, _ turn: ChatTurn) async throws {
        guard turn.isOpen(question.id) else { return }
        Console.write(question.text)
        while turn.isOpen(question.id) {
            guard let line = try await self.line(while: question, turn) else { return }
            guard let decision = question.decision(line) else {
                Console.write("Please answer y, n or a number: ")
                continue
            }
            do {
                let path = "/v1/approvals/\(GatewayClient.segment(question.id))"
                let body: JSONValue = ["decision": .string(decision)]
                _ = try await self.client.perform(GatewayClient.Call(method: "POST", path: path, body: body))
                return
            } catch let failure as CommandFailure where failure.exit == .failure {
                // Somebody else was faster, or the time is over; the turn's own events tell how it goes on.
                Console.warn("turnpike: \(failure)\n")
                return
            }
        }
    }

    /// A typed line; nil once the question needs none any more.
    private func line(while question: ChatQuestion, _ turn: ChatTurn) async throws -> String? {
        try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask { try await self.typist.lineUnlessCancelled() }
            group.addTask {
                await turn.answer(of: question.id)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    private func cancel(_ turn: String) async throws {
        do {
            let path = "/v1/turns/\(GatewayClient.segment(turn))/cancel"
            _ = try await self.client.perform(GatewayClient.Call(method: "POST", path: path))
        } catch let failure as CommandFailure where failure.exit == .failure {
            // It ended by itself meanwhile; its last event tells how.
        }
    }
}

/// What the threads around one turn share.
private final class ChatTurn: Sendable {
    private struct State {
        var renderer: ChatRenderer
        var events = 0
        /// Questions without an answer, by their approvals' ids.
        var open: [String: StopSignal] = [:]
    }

    private let state: Locked<State>
    let cancelWanted = StopSignal()
    /// What the person is to decide, in order; ends with the turn.
    let questions: AsyncStream<ChatQuestion>
    private let asking: AsyncStream<ChatQuestion>.Continuation
    private let isAnswerable: Bool

    init(style: ChatRenderer.Style) {
        (self.questions, self.asking) = AsyncStream.makeStream()
        self.isAnswerable = style == .terminal && Console.hasTypist
        self.state = Locked(State(renderer: ChatRenderer(style: style)))
    }

    var id: String? { self.state.withLock { $0.renderer.turn } }
    var lastEventID: String? { self.state.withLock { $0.renderer.lastEventID } }
    /// How many events arrived so far.
    var events: Int { self.state.withLock { $0.events } }

    var ending: ExitCode? {
        switch self.state.withLock({ $0.renderer.ending }) {
        case nil: nil
        case .completed: .success
        case .failed: .turnFailed
        case .cancelled: self.cancelWanted.isRaised ? .interrupted : .turnFailed
        }
    }

    /// Shows an event; false once the turn has ended.
    func take(_ event: StreamedEvent) -> Bool {
        let (output, goesOn) = self.state.withLock { state in
            // A resumed stream belongs to the conversation, and so may hold another's turn.
            let shown = state.renderer.isOwn(event) ? state.renderer.take(event) : ChatRenderer.Output()
            state.events += 1
            return (shown, state.renderer.ending == nil)
        }
        if !output.text.isEmpty { Console.write(output.text) }
        if !output.notice.isEmpty { Console.warn(output.notice) }
        if let question = output.question { self.ask(question) }
        if let id = output.answered { self.state.withLock { $0.open.removeValue(forKey: id) }?.raise() }
        if !goesOn { self.finish() }
        return goesOn
    }

    private func ask(_ question: ChatQuestion) {
        guard self.isAnswerable else { return Console.warn(question.hint) }
        self.state.withLock { $0.open[question.id] = StopSignal() }
        self.asking.yield(question)
    }

    private func finish() {
        self.asking.finish()
        let open = self.state.withLock { state in
            defer { state.open = [:] }
            return state.open.values
        }
        for signal in open { signal.raise() }
    }

    /// Whether the question still needs an answer.
    func isOpen(_ id: String) -> Bool { self.state.withLock { $0.open[id] != nil } }

    /// Returns once the question needs no answer any more, or the task is cancelled.
    func answer(of id: String) async {
        await self.state.withLock { $0.open[id] }?.wait()
    }
}

/// Ctrl-C: within a turn the first cancels it; any other ends the program.
private final class Interrupts: Sendable {
    private let cancel = Locked<(@Sendable () -> Bool)?>(nil)

    /// Called by the reactor. Ends the process at once, since a thread may be reading the terminal and nothing that is
    /// kept here outlives the process.
    func arrived() {
        let action = self.cancel.withLock { state in
            defer { state = nil }
            return state
        }
        guard action?() == true else {
            Console.warn("\n")
            _exit(ExitCode.interrupted.rawValue)
        }
    }

    /// From now on the first Ctrl-C calls `action`, which returns whether it had something to cancel.
    func begin(_ action: @escaping @Sendable () -> Bool) {
        self.cancel.withLock { $0 = action }
    }

    /// From now on Ctrl-C ends the program.
    func end() {
        self.cancel.withLock { $0 = nil }
    }
}
