import Faults
import Glibc
import TestKit

// Deaths, stops, delays and errors at named points of the program; see `FaultPoint`.

#if FAULT_POINTS
    extension Stage {
        /// Puts a replica into `slot` that fails at one point, waits until it has, and replaces it.
        mutating func reachPoint(_ slot: Slot) async throws {
            guard let point = FaultPoint.allCases.randomElement(using: &self.random) else { return }
            let action =
                ["exit", "exit", "exit", "stop", "delay:400", "error"].randomElement(using: &self.random) ?? "exit"
            let hit = point.isRare ? 1 : Int.random(in: 1...3, using: &self.random)
            try await self.cluster.kill(slot)
            let wish = "\(point):\(action)@\(hit)"
            let replica = try await self.cluster.boot(slot, environment: ["TURNPIKE_FAULT": wish])
            if point.needsDeadPeer { try await self.killAnother() }
            let isReached = try await self.isTrue(within: .seconds(5)) {
                replica.process.text.contains(#""point":"\#(point)""#)
            }
            if isReached { self.recorder.reached("\(point)") }
            switch action {
            case _ where !isReached: break
            case "exit":
                let code = try await replica.process.end(within: .seconds(5))
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
