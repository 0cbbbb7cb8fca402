import Faults
import Glibc
import Runtime
import TestKit

// Deaths, stops, delays and errors at named points of the program; see `FaultPoint`.

#if FAULT_POINTS
    extension Stage {
        /// Puts a replica into `slot` that fails at one point, waits until it has, and replaces it.
        mutating func reachPoint(_ slot: Slot) async throws {
            let points = FaultPoint.allCases.filter { !$0.isOutOfReach }
            guard let point = points.randomElement(using: &self.random) else { return }
            let action =
                ["exit", "exit", "exit", "stop", "delay:400", "error"].randomElement(using: &self.random) ?? "exit"
            let hit = point.isRare ? 1 : Int.random(in: 1...2, using: &self.random)
            try await self.cluster.kill(slot)
            let wish = "\(point):\(action)@\(hit)"
            let replica = try await self.cluster.boot(slot, environment: ["TURNPIKE_FAULT": wish])
            if point.needsDeadPeer { try await self.killAnother() }
            async let led: Void = self.lead(to: point, replica, seed: self.random.next())
            let isReached = try await self.isTrue(within: .seconds(6)) {
                replica.process.text.contains(#""point":"\#(point)""#)
            }
            if isReached { self.recorder.reached("\(point)") }
            switch action {
            case _ where !isReached: break
            case "exit":
                let code = try await replica.process.end(within: .seconds(5))
                slot.put(nil)
                self.cluster.balancer.remove(slot.number)
                if code != 137 { self.recorder.violated("points", "\(wish) ended with \(code)") }
            case "stop":
                try await self.pause(6_500...8_000)
                replica.process.signal(SIGCONT)
                try await self.pause(500...1_000)
            default:
                try await self.pause(300...1_000)
            }
            if isReached { self.recorder.fired(.faultPoint) }
            try await self.cluster.kill(slot)
            try await self.cluster.boot(slot)
            try await led
        }

        /// Sends turns that lead to `point`, to that replica first and then, as any client would, to whoever is there.
        private func lead(to point: FaultPoint, _ replica: Replica, seed: UInt64) async throws {
            let (workload, cluster) = (self.workload, self.cluster)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<4 {
                    let agent = point.isOfRetry ? "again" : "list"
                    let name = "point-\(seed)-\(number)"
                    let token = cluster.tokens["org-0"] ?? ""
                    let place = Place(org: "org-0", agent: agent, conversation: name, token: token)
                    let wish = TurnWish(milliseconds: 150, mutesWorker: point.isOfEnding)
                    group.addTask {
                        try await self.threads.run {
                            let begun = ContinuousClock.now - workload.start
                            var turn = ClientTurn(client: name, conversation: place.name, key: name, begun: begun)
                            let deadline = ContinuousClock.now + workload.patience
                            let talk = TurnTalk(workload: workload, place: place, wish: wish, deadline: deadline)
                            talk.submitOnce(turn, port: replica.port)
                            talk.run(&turn)
                            workload.note(turn)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        /// Kills another replica, so that there is something to take over.
        private mutating func killAnother() async throws {
            let slots = self.cluster.slots.shuffled(using: &self.random)
            guard let other = slots.first(where: { $0.take() }) else { return }
            defer { other.release() }
            try await self.cluster.kill(other)
            try await self.cluster.boot(other)
        }

        private func isTrue(within limit: Duration, _ condition: () -> Bool) async throws -> Bool {
            do {
                try await eventually("a fault point is reached", within: limit, condition)
                return true
            } catch is NotInTime {
                return false
            }
        }
    }

    extension FaultPoint {
        /// Not on the way of an ordinary turn.
        fileprivate var isRare: Bool {
            switch self {
            case .failBefore, .failCommitted, .requeueBefore, .requeueCommitted, .giveUpBefore, .giveUpCommitted,
                .sweepCommitted, .takeOverBefore, .takeOverCommitted, .takeOverFreed:
                true
            default:
                false
            }
        }

        /// Only a turn that waits for minutes or for people, or whose holder forgets it, leads there.
        fileprivate var isOutOfReach: Bool {
            [
                .giveUpBefore, .giveUpCommitted, .sweepCommitted, .parkBefore, .parkOpen, .parkCommitted,
                .decisionCommitted,
            ].contains(self)
        }

        fileprivate var isOfRetry: Bool { [.requeueBefore, .requeueCommitted].contains(self) }

        /// Whether a worker has to end for it.
        fileprivate var isOfEnding: Bool { self.isOfRetry || [.failBefore, .failCommitted].contains(self) }

        fileprivate var needsDeadPeer: Bool {
            [.takeOverBefore, .takeOverCommitted, .takeOverFreed].contains(self)
        }
    }
#else
    extension Stage {
        /// A build without fault points reaches none.
        mutating func reachPoint(_ slot: Slot) async throws {}
    }
#endif
