import Foundation
import Glibc
import Runtime

/// What the program says on standard output and standard error.
enum Console {
    /// Whether standard output is a terminal.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Whether someone types on standard input.
    static var hasTypist: Bool { isatty(STDIN_FILENO) == 1 }

    /// Writes to standard output at once, nothing buffered. A reader that left ends the program as it would any other.
    static func write(_ text: String) {
        self.write(text, to: STDOUT_FILENO)
    }

    /// Writes to standard error.
    static func warn(_ text: String) {
        self.write(text, to: STDERR_FILENO)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            // Nobody reads any more; the rest of the output has nowhere to go.
            guard count > 0 else { exit(ExitCode.failure.rawValue) }
            bytes = bytes.dropFirst(count)
        }
    }

    /// JSON for scripts: sorted members, one final newline.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    }

    /// A table for people, cut to the terminal where standard output is one; whoever reads from a pipe gets all of it.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        Table(head: head, rows: rows).text(width: self.width)
    }

    /// The columns of the terminal on standard output; nil when it is none, or does not say.
    private static var width: Int? {
        var size = winsize()
        guard self.isTerminal, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}
