import Domain
import Faults
import Foundation

/// Where a setting's value is from.
enum SettingSource: Sendable, Hashable, CustomStringConvertible {
    case flag(String)
    case variable(String)
    /// A file that a `…_FILE` variable names.
    case secretFile(variable: String)
    case file(String)
    case standard

    var description: String {
        switch self {
        case .flag(let flag): flag
        case .variable(let variable), .secretFile(let variable): variable
        case .file(let path): path
        case .standard: "default"
        }
    }
}

/// A setting's value as text, and its source.
struct SettingOrigin: Sendable, Hashable {
    let value: String
    let source: SettingSource
}

/// The settings as texts, the layers already merged: flags, environment, file, defaults.
struct SettingLayers: Sendable, Hashable {
    private(set) var origins: [Setting: SettingOrigin] = [:]
    /// The configuration file, and those of secrets.
    private(set) var files: [String] = []

    /// Variables that are no settings of the server but mean something to its parts, to its commands, or (the last
    /// five) to a worker that runs this program.
    static let otherVariables = [
        "TURNPIKE_CONFIG", "TURNPIKE_URL", "TURNPIKE_TOKEN", "TURNPIKE_TOKEN_FILE", "TURNPIKE_DATA",
        "TURNPIKE_LAUNCHER", "TURNPIKE_POSTGRES_BIN",
        "TURNPIKE_TURN", "TURNPIKE_ORG", "TURNPIKE_AGENT", "TURNPIKE_CONVERSATION", "TURNPIKE_WORKSPACE",
    ]

    /// Merges the layers. `file` is a path and its text; `read` gives the text of a secret's file. Unknown names in the
    /// environment or in the file are usage failures: a misspelt setting must not pass in silence.
    init(
        flags: [Setting: String] = [:],
        environment: [String: String] = [:],
        file: (path: String, text: String)? = nil,
        read: (String) throws -> String = { _ in "" }
    ) throws(CommandFailure) {
        for setting in Setting.allCases {
            if let value = setting.defaultText {
                self.origins[setting] = SettingOrigin(value: value, source: .standard)
            }
        }
        if let file { try self.addFile(file.path, file.text) }
        try self.addEnvironment(environment, read: read)
        for (setting, value) in flags {
            self.origins[setting] = SettingOrigin(value: value, source: .flag(setting.flag))
        }
    }

    /// Puts a value beneath everything that the user set, in place of the default.
    mutating func suggest(_ value: String, for setting: Setting, source: SettingSource = .standard) {
        guard self.isDefault(setting) else { return }
        self.origins[setting] = SettingOrigin(value: value, source: source)
    }

    /// Whether nobody set it.
    func isDefault(_ setting: Setting) -> Bool {
        self.origins[setting].map { $0.source == .standard } ?? true
    }

    private mutating func addEnvironment(
        _ environment: [String: String],
        read: (String) throws -> String
    ) throws(CommandFailure) {
        var settings: [String: (setting: Setting, isFile: Bool)] = [:]
        for setting in Setting.allCases {
            settings[setting.variable] = (setting, false)
            if setting.isSecret { settings[setting.variable + "_FILE"] = (setting, true) }
        }
        let known = Set(settings.keys).union(Self.otherVariables).union(Faults.variables)
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("TURNPIKE_") {
            guard known.contains(name) else {
                let suggestion = Suggestion.phrase(for: name, among: known.sorted())
                throw CommandFailure(.usage, "the environment sets \(name), which means nothing here\(suggestion)")
            }
            guard let (setting, isFile) = settings[name] else { continue }
            guard isFile else {
                self.origins[setting] = SettingOrigin(value: value, source: .variable(name))
                continue
            }
            guard environment[setting.variable] == nil else {
                throw CommandFailure(.usage, "the environment sets both \(setting.variable) and \(name)")
            }
            let text = try Self.secret(value, variable: name, read: read)
            self.files.append(value)
            self.origins[setting] = SettingOrigin(value: text, source: .secretFile(variable: name))
        }
    }

    /// The text of a secret's file without the newline that editors add.
    static func secret(
        _ path: String,
        variable: String,
        read: (String) throws -> String
    ) throws(CommandFailure) -> String {
        let text: String
        do {
            text = try read(path).trimmingCharacters(in: .newlines)
        } catch {
            throw CommandFailure(.usage, "\(variable): cannot read \(path)")
        }
        guard !text.isEmpty else { throw CommandFailure(.usage, "\(variable): \(path) is empty") }
        return text
    }

    private mutating func addFile(_ path: String, _ text: String) throws(CommandFailure) {
        self.files.append(path)
        let parsed: JSONValue
        do {
            parsed = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        } catch {
            throw CommandFailure(.usage, "\(path): not valid JSON")
        }
        guard case .object(let members) = parsed else {
            throw CommandFailure(.usage, #"\#(path): must be one JSON object, like {"listen": "127.0.0.1:7100"}"#)
        }
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            guard let setting = Setting(rawValue: name) else {
                let suggestion = Suggestion.phrase(for: name, among: Setting.allCases.map(\.rawValue))
                throw CommandFailure(.usage, #"\#(path): there is no setting "\#(name)"\#(suggestion)"#)
            }
            let text: String
            switch value {
            case .string(let string): text = string
            case .integer(let number): text = String(number)
            case .number(let number): text = String(number)
            case .bool(let flag): text = flag ? "on" : "off"
            case .null, .array, .object:
                throw CommandFailure(.usage, "\(path): \(name) must be a string, a number, true or false")
            }
            self.origins[setting] = SettingOrigin(value: text, source: .file(path))
        }
    }
}

/// Hides passwords in connection strings, both spellings of libpq.
enum Redaction {
    private static let mark = "***"

    static func hide(_ text: String) -> String {
        guard text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") else {
            return self.hideParameters(text, separators: " ")
        }
        var shown = text
        // The last @ before the path ends the user's part: a password may hold unescaped ones.
        let start = text.range(of: "://")?.upperBound ?? text.startIndex
        let pathStart = text[start...].firstIndex { $0 == "/" || $0 == "?" } ?? text.endIndex
        let end = text[start..<pathStart].lastIndex(of: "@") ?? text[start...].lastIndex(of: "@")
        if let end, let colon = text[start..<end].firstIndex(of: ":") {
            shown = String(text[...colon]) + self.mark + String(text[end...])
        }
        guard let question = shown.firstIndex(of: "?") else { return shown }
        let parameters = String(shown[shown.index(after: question)...])
        return String(shown[...question]) + self.hideParameters(parameters, separators: "&")
    }

    /// `password` and `sslpassword` may be quoted and hold spaces, so everything up to the next known key is hidden.
    private static func hideParameters(_ text: String, separators: Character) -> String {
        var hidden = false
        return text.split(separator: separators, omittingEmptySubsequences: false).compactMap { part -> String? in
            let key = part.split(separator: "=", maxSplits: 1).first.map { $0.lowercased() } ?? ""
            if part.contains("="), !key.isEmpty, key.allSatisfy({ $0.isLetter || $0 == "_" }) {
                hidden = key.hasSuffix("password")
                return hidden ? "\(key)=\(self.mark)" : String(part)
            }
            return hidden ? nil : String(part)
        }.joined(separator: String(separators))
    }
}
