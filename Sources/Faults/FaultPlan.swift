#if FAULT_POINTS
    /// What `TURNPIKE_FAULT` asks for, and how often each point was reached.
    ///
    /// The text is a list of `point:action`, separated by commas. Actions are `exit` (with 137), `stop` (SIGSTOP),
    /// `delay:milliseconds` and `error`. `@n` after it means the n-th time only; without it, every time.
    struct FaultPlan: Sendable {
        enum Action: Sendable, Hashable {
            case exit, stop, error
            case delay(Duration)
        }

        private struct Wish {
            let point: FaultPoint
            let action: Action
            let hit: Int?
        }

        private var wishes: [Wish] = []
        private var hits: [FaultPoint: Int] = [:]

        init() {}

        init(_ text: String) throws(FaultSyntax) {
            for part in text.split(separator: ",") {
                self.wishes.append(try Self.wish(String(part)))
            }
        }

        /// Counts the hit; what is to happen, if anything is.
        mutating func hit(_ point: FaultPoint) -> (action: Action, hit: Int)? {
            guard !self.wishes.isEmpty else { return nil }
            let hit = self.hits[point, default: 0] + 1
            self.hits[point] = hit
            return self.wishes.first { $0.point == point && ($0.hit ?? hit) == hit }.map { ($0.action, hit) }
        }

        private static func wish(_ text: String) throws(FaultSyntax) -> Wish {
            let halves = text.split(separator: "@", omittingEmptySubsequences: false)
            let words = halves[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard let point = FaultPoint.allCases.first(where: { "\($0)" == words[0] }) else {
                throw FaultSyntax(problem: "there is no fault point \(words[0])")
            }
            let action: Action? =
                switch (words.dropFirst().first, words.dropFirst(2).first) {
                case ("exit", nil): .exit
                case ("stop", nil): .stop
                case ("error", nil): .error
                case ("delay", let text?): Int(text).flatMap { $0 >= 0 ? .delay(.milliseconds($0)) : nil }
                default: nil
                }
            guard let action, words.count <= 3 else { throw FaultSyntax(problem: "\(text) names no action") }
            guard halves.count > 1 else { return Wish(point: point, action: action, hit: nil) }
            guard halves.count == 2, let hit = Int(halves[1]), hit > 0 else {
                throw FaultSyntax(problem: "\(text) names no hit")
            }
            return Wish(point: point, action: action, hit: hit)
        }
    }

    /// What the environment asks for and cannot mean.
    struct FaultSyntax: Error, Sendable, Hashable, CustomStringConvertible {
        let problem: String

        var description: String { self.problem }
    }
#endif
