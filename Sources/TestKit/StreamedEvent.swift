package import Domain
internal import Foundation

/// One event of a stream.
package struct StreamedEvent: Sendable {
    /// Its number.
    package let id: Int
    /// Its type.
    package let type: String
    /// What it says.
    package let data: JSONValue

    /// Whether it ends its turn.
    package var isTerminal: Bool { ["turn.completed", "turn.failed", "turn.cancelled"].contains(self.type) }

    /// The whole events of `text`; what follows the last blank line is not there yet.
    package static func parse(_ text: String) -> [StreamedEvent] {
        text.components(separatedBy: "\n\n").dropLast().compactMap { frame in
            var fields: [String: String] = [:]
            for line in frame.split(separator: "\n") where !line.hasPrefix(":") {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { fields[String(parts[0])] = String(parts[1].dropFirst()) }
            }
            guard let id = fields["id"].flatMap(Int.init), let type = fields["event"], let data = fields["data"],
                let json = try? JSONDecoder().decode(JSONValue.self, from: Data(data.utf8))
            else { return nil }
            return StreamedEvent(id: id, type: type, data: json)
        }
    }
}
