/// How the program ends; part of its contract with scripts.
enum ExitCode: Int32, Sendable, CaseIterable {
    case success = 0
    case failure = 1
    case usage = 2
    case unreachable = 3
    case turnFailed = 4
    case interrupted = 130

    /// What it means, for the help text.
    var meaning: String {
        switch self {
        case .success: "it worked"
        case .failure: "it failed; the message on standard error says why"
        case .usage: "the command line or the configuration is wrong; nothing was done"
        case .unreachable: "the gateway or the database cannot be reached"
        case .turnFailed: "the turn ended without a reply"
        case .interrupted: "interrupted with Ctrl-C"
        }
    }
}

/// A command that did not work: how the program ends, and what the user is told.
struct CommandFailure: Error, Hashable, Sendable, CustomStringConvertible {
    let exit: ExitCode
    let message: String
    /// What the user can do about it, when that is known.
    let remedy: String?

    init(_ exit: ExitCode, _ message: String, remedy: String? = nil) {
        self.exit = exit
        self.message = message
        self.remedy = remedy
    }

    var description: String {
        self.remedy.map { "\(self.message)\n\($0)" } ?? self.message
    }
}
