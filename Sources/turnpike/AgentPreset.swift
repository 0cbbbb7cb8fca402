import Domain
import Foundation

/// How an agent that others made is run under the gateway: a configuration with gaps, and what goes into them.
///
/// A gap is written `{{name}}`. In a file it becomes a quoted string, escaped as JSON escapes it, which YAML and TOML read
/// the same; elsewhere it becomes the value as it is.
struct AgentPreset: Sendable {
    /// What a gap is filled with.
    struct Setting: Sendable {
        let name: String
        /// Nil when it has to be given.
        let usual: String?
        let help: String
    }

    let name: String
    /// One line.
    let summary: String
    /// The packages, as pip takes them, at the versions that were tried.
    let packages: [String]
    /// What is to be known before it is used.
    let remarks: [String]
    let settings: [Setting]
    /// With gaps.
    let template: AgentConfiguration

    /// The program that the template names.
    var program: String { self.template.command[0] }

    /// What to do when the program is missing.
    var installation: String {
        "python3 -m venv /opt/\(self.name) && /opt/\(self.name)/bin/pip install "
            + self.packages.map { "'\($0)'" }.joined(separator: " ")
    }

    /// The configuration with `given` in its gaps. What names no gap is a member of the configuration, by its path:
    /// `permissions`, `limits.idle_seconds`. Throws a usage failure for what is missing or unknown.
    func configuration(_ given: [(key: String, value: String)]) throws(CommandFailure) -> AgentConfiguration {
        var values: [String: String] = [:]
        var members: [(key: String, value: String)] = []
        for (key, value) in given {
            if key == "program" || self.settings.contains(where: { $0.name == key }) {
                guard value.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
                    throw CommandFailure(.usage, "--set \(key)= must not hold control characters")
                }
                values[key] = value
            } else {
                members.append((key, value))
            }
        }
        for setting in self.settings where values[setting.name] == nil { values[setting.name] = setting.usual }
        let missing = self.settings.filter { values[$0.name] == nil }
        guard missing.isEmpty else {
            throw CommandFailure(
                .usage,
                "\(self.name) needs "
                    + missing.map { "--set \($0.name)=… (\($0.help))" }.joined(separator: " and ")
            )
        }
        var configuration = self.filled(values)
        if let program = values["program"] { configuration.command[0] = program }
        return try members.isEmpty ? configuration : Self.replacing(members, in: configuration)
    }

    private func filled(_ values: [String: String]) -> AgentConfiguration {
        func fill(_ text: String, _ render: (String) -> String = { $0 }) -> String {
            values.reduce(text) { $0.replacingOccurrences(of: "{{\($1.key)}}", with: render($1.value)) }
        }
        var configuration = self.template
        configuration.command = configuration.command.map { fill($0) }
        configuration.environment = configuration.environment.mapValues { fill($0) }
        configuration.files = configuration.files.mapValues { file in
            AgentFile(fill(file.text, Self.quoted), owner: file.owner)
        }
        return configuration
    }

    /// `text` between quotes, escaped.
    static func quoted(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"")
        return "\"\(escaped)\""
    }

    /// `configuration` with the members that `replacements` name by their paths. A value is JSON where it can be, else text.
    private static func replacing(
        _ replacements: [(key: String, value: String)],
        in configuration: AgentConfiguration
    ) throws(CommandFailure) -> AgentConfiguration {
        do {
            let encoded = try JSONEncoder().encode(configuration)
            var json = try JSONDecoder().decode(JSONValue.self, from: encoded)
            for (key, value) in replacements {
                let parsed = try? JSONDecoder().decode(JSONValue.self, from: Data(value.utf8))
                json = self.setting(
                    key.split(separator: ".").map(String.init)[...],
                    of: json,
                    to: parsed ?? .string(value)
                )
            }
            return try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(json))
        } catch {
            let keys = replacements.map(\.key).joined(separator: ", ")
            throw CommandFailure(
                .usage,
                "--set \(keys): neither a setting of this preset nor a member of an agent's configuration with such a value",
                remedy: "\"turnpike agent presets\" lists the settings, \"turnpike agent add … --print\" the members."
            )
        }
    }

    private static func setting(_ path: ArraySlice<String>, of json: JSONValue, to value: JSONValue) -> JSONValue {
        guard let first = path.first else { return value }
        var members: [String: JSONValue] = [:]
        if case .object(let there) = json { members = there }
        members[first] = self.setting(path.dropFirst(), of: members[first] ?? [:], to: value)
        return .object(members)
    }
}
