import Domain
import Testing

@Suite struct WorkerLifecycleTests {
    typealias State = WorkerLifecycle.State
    typealias Event = WorkerLifecycle.Event
    typealias Action = WorkerLifecycle.Action

    /// The shortest way into each state.
    private static let ways: [State: [Event]] = [
        .starting: [],
        .spare: [.ready],
        .bound: [.ready, .bound],
        .running: [.ready, .bound, .turnGiven],
        .idle: [.ready, .bound, .turnGiven, .turnEnded],
        .stopping: [.stopRequested],
        .exited: [.exited],
    ]

    /// Everything that may happen; whatever is not here may not.
    private static let legal: [State: [Event: (State, [Action])]] = [
        .starting: [
            .ready: (.spare, []),
            .stopRequested: (.stopping, [.failStart, .stop]),
            .killRequested: (.stopping, [.failStart, .kill]),
            .deadlinePassed: (.stopping, [.failStart, .kill]),
            .exited: (.exited, [.failStart, .reportExit(intended: false)]),
        ],
        .spare: [
            .bound: (.bound, []),
            .stopRequested: (.stopping, [.stop]),
            .killRequested: (.stopping, [.kill]),
            .exited: (.exited, [.reportExit(intended: false)]),
        ],
        .bound: [
            .turnGiven: (.running, []),
            .stopRequested: (.stopping, [.stop]),
            .killRequested: (.stopping, [.kill]),
            .exited: (.exited, [.reportExit(intended: false)]),
        ],
        .running: [
            .turnEnded: (.idle, []),
            .turnSpoilt: (.stopping, [.kill]),
            .stopRequested: (.stopping, [.failTurn, .stop]),
            .killRequested: (.stopping, [.failTurn, .kill]),
            .deadlinePassed: (.stopping, [.failTurn, .kill]),
            .exited: (.exited, [.failTurn, .reportExit(intended: false)]),
        ],
        .idle: [
            .turnGiven: (.running, []),
            .stopRequested: (.stopping, [.stop]),
            .killRequested: (.stopping, [.kill]),
            .exited: (.exited, [.reportExit(intended: false)]),
        ],
        .stopping: [
            .stopRequested: (.stopping, []),
            .killRequested: (.stopping, [.kill]),
            .deadlinePassed: (.stopping, [.kill]),
            .exited: (.exited, [.reportExit(intended: true)]),
        ],
        .exited: [
            .stopRequested: (.exited, []),
            .killRequested: (.exited, []),
        ],
    ]

    private static func machine(in state: State) throws -> WorkerLifecycle {
        var machine = WorkerLifecycle()
        for event in try #require(Self.ways[state]) { _ = try machine.apply(event) }
        return machine
    }

    @Test("every event in every state does what the table says or is refused", arguments: State.allCases)
    func table(_ state: State) throws {
        for event in Event.allCases {
            var machine = try Self.machine(in: state)
            #expect(machine.state == state)
            if let (next, actions) = Self.legal[state]?[event] {
                #expect(try machine.apply(event) == actions, "\(state) \(event)")
                #expect(machine.state == next, "\(state) \(event)")
            } else {
                let error = #expect(throws: WorkerLifecycle.IllegalEvent.self) { try machine.apply(event) }
                #expect(error?.state == state)
                #expect(error?.event == event)
                #expect(machine.state == state, "a refused event moved \(state)")
            }
        }
    }

    @Test("a turn is taken only between turns", arguments: State.allCases)
    func takesTurns(_ state: State) throws {
        #expect(try Self.machine(in: state).takesTurns == (state == .bound || state == .idle))
    }

    @Test("a worker that was told to go reports an intended exit, any other one does not")
    func intention() throws {
        for (state, events) in Self.legal {
            for (event, effect) in events {
                for case .reportExit(let intended) in effect.1 {
                    var machine = try Self.machine(in: state)
                    #expect(try machine.apply(event).contains(.reportExit(intended: state == .stopping)))
                    #expect(intended == (state == .stopping))
                }
            }
        }
    }

    @Test("only a worker between turns is reaped, and only when its time is over", arguments: State.allCases)
    func reap(_ state: State) {
        let limit = Duration.seconds(900)
        let isBetween = [State.spare, .bound, .idle].contains(state)
        #expect(
            IdleReap.decide(state: state, idle: .seconds(900), limit: limit)
                == (isBetween ? .stop : .keep(lookAgainAfter: limit))
        )
        #expect(
            IdleReap.decide(state: state, idle: .seconds(300), limit: limit)
                == .keep(lookAgainAfter: isBetween ? .seconds(600) : limit)
        )
    }
}
