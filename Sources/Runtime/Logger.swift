import Glibc

/// How much a line matters. `error` needs a person, `warning` may, `info` tells the story, `debug` the details.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    case debug, info, warning, error

    package static func < (left: LogLevel, right: LogLevel) -> Bool {
        left.rank < right.rank
    }

    private var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }
}

/// A value of a log field.
package enum LogValue: Sendable {
    case text(String)
    case number(Int64)
    case seconds(Duration)
    case flag(Bool)
    case error(any Error)

    /// Any integer as a log value.
    package static func count(_ value: some BinaryInteger) -> LogValue {
        .number(Int64(clamping: value))
    }
}

/// Writes one JSON object a line, with the fields that every line of a component carries.
package struct Logger: Sendable {
    private let threshold: LogLevel
    private let fields: [(String, LogValue)]
    private let write: @Sendable (String) -> Void

    /// Lines below `threshold` are dropped; `write` receives whole lines without the newline.
    package init(threshold: LogLevel, write: @escaping @Sendable (String) -> Void = Logger.toStandardError) {
        self.threshold = threshold
        self.fields = []
        self.write = write
    }

    private init(_ parent: Logger, adding fields: [(String, LogValue)]) {
        self.threshold = parent.threshold
        self.fields = parent.fields + fields
        self.write = parent.write
    }

    /// A logger that drops everything.
    package static let silent = Logger(threshold: .error, write: { _ in })

    /// The same logger with more fields on each line.
    package func with(_ fields: KeyValuePairs<String, LogValue>) -> Logger {
        Logger(self, adding: Array(fields))
    }

    /// Writes the details.
    package func debug(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, LogValue> = [:]) {
        self.log(.debug, message, fields)
    }

    /// Writes what tells the story.
    package func info(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, LogValue> = [:]) {
        self.log(.info, message, fields)
    }

    /// Writes what may need a person.
    package func warning(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, LogValue> = [:]) {
        self.log(.warning, message, fields)
    }

    /// Writes what needs a person.
    package func error(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, LogValue> = [:]) {
        self.log(.error, message, fields)
    }

    private func log(_ level: LogLevel, _ message: () -> String, _ fields: KeyValuePairs<String, LogValue>) {
        guard level >= self.threshold else { return }
        var line = #"{"at":"\#(Timestamp.now())","level":"\#(level.rawValue)","message":"#
        JSONText.append(message(), to: &line)
        for (key, value) in self.fields + Array(fields) {
            line += ","
            JSONText.append(key, to: &line)
            line += ":"
            value.append(to: &line)
        }
        line += "}"
        self.write(line)
    }

    /// Writes `line` and a newline to standard error in one call, so that lines of several threads never mix.
    package static let toStandardError: @Sendable (String) -> Void = { line in
        var bytes = Array(line.utf8)
        bytes.append(UInt8(ascii: "\n"))
        // A log that cannot be written has nowhere to be reported.
        _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

extension LogValue {
    fileprivate func append(to line: inout String) {
        switch self {
        case .text(let text): JSONText.append(text, to: &line)
        case .number(let number): line += String(number)
        case .flag(let flag): line += flag ? "true" : "false"
        case .error(let error): JSONText.append(String(describing: error), to: &line)
        case .seconds(let duration):
            let (seconds, attoseconds) = duration.components
            let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
            line += "\(milliseconds / 1000).\(String(1000 + abs(milliseconds % 1000)).dropFirst())"
        }
    }
}

/// JSON string literals; control characters, so terminal escapes too, never reach the output as they are.
package enum JSONText {
    /// Appends `text` as a quoted JSON string.
    package static func append(_ text: String, to output: inout String) {
        output += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\r": output += "\\r"
            case "\t": output += "\\t"
            default:
                if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
                    let hex = String(scalar.value, radix: 16)
                    output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    output.unicodeScalars.append(scalar)
                }
            }
        }
        output += "\""
    }
}

/// Wall-clock time for people; never used to decide anything.
package enum Timestamp {
    /// Now in UTC, RFC 3339 with milliseconds.
    package static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        gmtime_r(&time.tv_sec, &parts)
        func pad(_ value: some BinaryInteger, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(pad(parts.tm_year + 1900, 4))-\(pad(parts.tm_mon + 1, 2))-\(pad(parts.tm_mday, 2))"
            + "T\(pad(parts.tm_hour, 2)):\(pad(parts.tm_min, 2)):\(pad(parts.tm_sec, 2))"
            + ".\(pad(time.tv_nsec / 1_000_000, 3))Z"
    }
}
