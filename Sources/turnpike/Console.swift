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

    /// A table for people: the head's columns, each as wide as its widest cell.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        let all = [head] + rows.map { $0.map(ChatRenderer.printable) }
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: max(0, $1 - $0.count)) }
            return cells.joined(separator: "  ").trimmedEnd + "\n"
        }.joined()
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        String(self.reversed().drop { $0 == " " }.reversed())
    }
}
