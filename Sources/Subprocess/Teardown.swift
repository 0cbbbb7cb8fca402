/// How to end a child: what to try first and how long to wait for it. Whatever it says, the last step is always to kill
/// everything that is left of the tree.
package struct Teardown: Hashable, Sendable {
    /// One attempt to make a child end by itself.
    package enum Step: Hashable, Sendable {
        /// Close its standard input, once what is queued has been written.
        case closeInput(grace: Duration)
        /// Send SIGTERM to its process group and to what it left behind.
        case terminate(grace: Duration)
    }

    /// What to try, in order.
    package var steps: [Step]

    package init(steps: [Step]) {
        self.steps = steps
    }

    /// End of input, SIGTERM, then the kill, with these graces after each of the first two.
    package init(afterInput: Duration, afterTerminate: Duration) {
        self.steps = [.closeInput(grace: afterInput), .terminate(grace: afterTerminate)]
    }

    /// End of input, two seconds, SIGTERM, three seconds, kill.
    package static let `default` = Teardown(afterInput: .seconds(2), afterTerminate: .seconds(3))
    /// Kill at once.
    package static let immediate = Teardown(steps: [])
}

/// Where a teardown stands. A value: events go in, actions come out.
struct TeardownMachine {
    /// What the shell has to do.
    enum Action: Hashable {
        case closeInput
        case terminate
        /// Ask the launcher to kill the tree.
        case kill
        /// Kill the launcher too: it did not answer.
        case abandon
        /// Report `graceEnded` after this long; replaces an earlier request.
        case wait(Duration)
        /// Forget an earlier request.
        case stopWaiting
    }

    private enum State {
        /// Nobody asked. To `trying`, `killing`, `over`.
        case running
        /// A step was taken; the rest is still to come. To `trying`, `killing`, `over`.
        case trying(rest: [Teardown.Step])
        /// The launcher was asked to kill. To `abandoned`, `over`.
        case killing
        /// The launcher was killed. To `over`.
        case abandoned
        /// The child has ended.
        case over
    }

    /// How long the launcher may take to kill a tree: it waits for each process, and the kernel may hold one up.
    static let patience = Duration.seconds(10)

    private var state = State.running

    /// Somebody wants the child to end; later wishes change nothing.
    mutating func begin(_ teardown: Teardown) -> [Action] {
        guard case .running = self.state else { return [] }
        return self.advance(teardown.steps)
    }

    /// Somebody wants the child dead now.
    mutating func kill() -> [Action] {
        switch self.state {
        case .running, .trying: self.advance([])
        case .killing, .abandoned, .over: []
        }
    }

    /// The time of the last `wait` is up.
    mutating func graceEnded() -> [Action] {
        switch self.state {
        case .trying(let rest):
            return self.advance(rest)
        case .killing:
            self.state = .abandoned
            return [.abandon]
        case .running, .abandoned, .over:
            return []
        }
    }

    /// Whether something of the tree may live on after the launcher has ended in this way. It ends by a signal when its
    /// program did, and when the signal was meant for itself.
    func mayHaveLeft(_ status: ExitStatus) -> Bool {
        guard case .signalled = status else { return false }
        return switch self.state {
        case .running, .abandoned: true
        case .trying, .killing, .over: false
        }
    }

    /// The child has ended.
    mutating func exited() -> [Action] {
        self.state = .over
        return [.stopWaiting]
    }

    private mutating func advance(_ steps: [Teardown.Step]) -> [Action] {
        guard let step = steps.first else {
            self.state = .killing
            return [.kill, .wait(Self.patience)]
        }
        self.state = .trying(rest: Array(steps.dropFirst()))
        switch step {
        case .closeInput(let grace): return [.closeInput, .wait(grace)]
        case .terminate(let grace): return [.terminate, .wait(grace)]
        }
    }
}
