import Foundation
import TestKit

/// What a drill is asked to do.
struct Options: Sendable {
    enum Mode: Sendable, Hashable {
        /// One run with these nemeses.
        case run([NemesisKind])
        /// Every nemesis alone, then so many seeds of the mix.
        case all(seeds: Int)
        /// Each planted bug against the mix that suits it.
        case planted
        case figures
    }

    var mode = Mode.run(NemesisKind.mix)
    var seed = UInt64.random(in: 0...999_999)
    var seconds = 12
    var replicas = 3
    var organizations = 3
    var conversations = 24
    var clients = 3
    var plant: String?
    /// Of the figures: conversations at once, and replicas killed for their process trees.
    var crowd = 2_000
    var trials = 200
    /// How long a client tries before it gives up: longer than any fault lasts, and several that follow each other.
    var patience: Duration = .seconds(120)
    /// Where the program under test is.
    var turnpike: String
    /// The checkout.
    var repository: String

    static let usage = """
        turnpike-drill [--nemesis NAME[,NAME…]|mix|all] [--seed N] [--seconds S] [--replicas N] [--conversations C]
                       [--clients N] [--plant NAME] [--planted] [--mixes N]
                       [--figures [--crowd N] [--trials N]]

        Starts PostgreSQL, replicas and clients, makes things fail, and checks that every promise was kept. The exit
        code is 0 when all were kept, 1 when one was not or a fault never had its effect, 2 when the drill failed.

        nemeses:
        \(NemesisKind.allCases.map { "  \($0.rawValue): \($0.help)" }.joined(separator: "\n"))

        """

    /// A mistake in the arguments.
    struct Misuse: Error, CustomStringConvertible {
        let description: String
    }

    /// With the program beside the one that runs.
    init() throws {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = String(own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex))
        try self.init(programs: folder)
    }

    /// With the program in `folder`.
    init(programs folder: String) throws {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        self.repository = "/" + parts.joined(separator: "/")
        _ = try Missing.program("\(folder)/turnpike-launcher", remedy: "make \(folder)/turnpike-launcher")
        self.turnpike = try Missing.program("\(folder)/turnpike", remedy: "swift build")
    }

    /// Reads the arguments. Throws `Misuse`.
    mutating func read(_ words: [String]) throws {
        var words = words[...]
        var mixes = 10
        var runsAll = false
        while let word = words.popFirst() {
            switch word {
            case "--figures": self.mode = .figures
            case "--trials": self.trials = try Self.number(word, &words)
            case "--crowd": self.crowd = try Self.number(word, &words)
            case "--planted": self.mode = .planted
            case "--nemesis":
                let names = try Self.text(word, &words)
                runsAll = names == "all"
                if !runsAll { self.mode = .run(try Self.nemeses(names)) }
            case "--seed": self.seed = UInt64(try Self.number(word, &words))
            case "--seconds": self.seconds = try Self.number(word, &words)
            case "--replicas": self.replicas = try Self.number(word, &words)
            case "--conversations": self.conversations = try Self.number(word, &words)
            case "--clients": self.clients = try Self.number(word, &words)
            case "--mixes": mixes = try Self.number(word, &words)
            case "--plant": self.plant = try Self.text(word, &words)
            default: throw Misuse(description: "what is \(word)?\n\n\(Self.usage)")
            }
        }
        if runsAll { self.mode = .all(seeds: mixes) }
    }

    private static func text(_ flag: String, _ words: inout ArraySlice<String>) throws -> String {
        guard let word = words.popFirst() else { throw Misuse(description: "\(flag) needs a value") }
        return word
    }

    private static func number(_ flag: String, _ words: inout ArraySlice<String>) throws -> Int {
        let word = try self.text(flag, &words)
        guard let number = Int(word), number >= 0 else {
            throw Misuse(description: "\(flag) needs a number, not \(word)")
        }
        return number
    }

    private static func nemeses(_ names: String) throws -> [NemesisKind] {
        if names == "mix" { return NemesisKind.mix }
        return try names.split(separator: ",").map { name in
            guard let kind = NemesisKind(rawValue: String(name)) else {
                throw Misuse(description: "there is no nemesis \(name)\n\n\(Self.usage)")
            }
            return kind
        }
    }
}
