#if FAULT_POINTS
    import Glibc
    import Runtime
#endif

/// Faults on request, for drills: the environment of a test build names the points at which it dies, stops, waits or
/// fails (`TURNPIKE_FAULT`) and the bug it has (`TURNPIKE_PLANT`).
///
/// The condition `FAULT_POINTS` makes a test build: debug builds are some, release builds are none, and there all of
/// this is nothing.
package enum Faults {
    #if FAULT_POINTS
        /// What the environment may hold.
        package static let variables = ["TURNPIKE_FAULT", "TURNPIKE_PLANT"]

        private static let plan = Locked(FaultPlan())
        static let planted = Locked<PlantedBug?>(nil)
        private static let log = Logger(threshold: .debug)

        /// Takes what the environment asks for. Throws a sentence about what it cannot mean.
        package static func prepare() throws {
            if let text = getenv("TURNPIKE_FAULT").map({ String(cString: $0) }) {
                let wanted = try FaultPlan(text)
                self.plan.withLock { $0 = wanted }
                self.log.warning("faults are armed", ["faults": .text(text)])
            }
            if let name = getenv("TURNPIKE_PLANT").map({ String(cString: $0) }) {
                guard let bug = PlantedBug.allCases.first(where: { "\($0)" == name }) else {
                    throw FaultSyntax(problem: "there is no bug \(name) to plant")
                }
                self.planted.withLock { $0 = bug }
                self.log.warning("a bug is planted", ["bug": .text(name)])
            }
        }

        /// Does what was asked for at `point`; an error is thrown as `InjectedFault`.
        package static func reach(_ point: FaultPoint) async throws {
            guard let fault = self.plan.withLock({ $0.hit(point) }) else { return }
            // Written at once and before anything happens: the drill counts these lines.
            self.log.warning(
                "fault",
                [
                    "point": .text("\(point)"), "action": .text("\(fault.action)"), "hit": .count(fault.hit),
                ]
            )
            switch fault.action {
            case .exit: _exit(137)
            // Of this thread, so that it takes no step more; the others stop with it.
            case .stop: raise(SIGSTOP)
            case .delay(let delay): try? await Task.sleep(for: delay)
            case .error: throw InjectedFault(point: point)
            }
        }

        /// The same where nothing can fail: an error is only a line in the log.
        package static func pass(_ point: FaultPoint) async {
            do {
                try await self.reach(point)
            } catch {
                self.log.warning("nothing fails here", ["point": .text("\(point)")])
            }
        }
    #else
        /// None, in a release build.
        package static let variables: [String] = []

        /// Nothing, in a release build.
        @inlinable
        package static func prepare() throws {}

        /// Nothing, in a release build.
        @inlinable
        package static func reach(_ point: FaultPoint) async throws {}

        /// Nothing, in a release build.
        @inlinable
        package static func pass(_ point: FaultPoint) async {}
    #endif
}

/// The error of a point that was asked to fail.
package struct InjectedFault: Error, Sendable {
    /// Where.
    package let point: FaultPoint
}
