import Domain
import Foundation
import Glibc

/// What a command runs in: its words, and the world it may read.
struct CommandContext: Sendable {
    let invocation: Invocation
    let environment: [String: String]
    /// The working directory, absolute.
    let directory: String

    init(_ invocation: Invocation) {
        self.invocation = invocation
        self.environment = ProcessInfo.processInfo.environment
        self.directory = FileManager.default.currentDirectoryPath
    }

    /// The settings of the server, merged from flags, environment and file.
    func layers() throws(CommandFailure) -> SettingLayers {
        var flags: [Setting: String] = [:]
        for setting in Setting.allCases {
            if let value = self.invocation.value(setting.flag) { flags[setting] = value }
        }
        var file: (path: String, text: String)?
        if let path = self.invocation.value("--config") ?? self.environment["TURNPIKE_CONFIG"] {
            do {
                file = (path, try Self.read(path))
            } catch {
                throw CommandFailure(.usage, "cannot read the configuration file \(path)")
            }
        }
        return try SettingLayers(flags: flags, environment: self.environment, file: file, read: Self.read)
    }

    /// The validated configuration of `layers`.
    func configuration(_ layers: SettingLayers) throws(CommandFailure) -> Configuration {
        try Configuration(layers, host: Self.hostName, directory: self.directory)
    }

    /// Prints the configuration instead of running, when that was asked for.
    func printsConfiguration(_ configuration: Configuration) -> Bool {
        guard self.invocation.has("--print-config") else { return false }
        Console.write(configuration.listing)
        return true
    }

    /// The folder of `turnpike dev`, absolute.
    var dataFolder: String {
        let named = self.invocation.value("--data") ?? self.environment["TURNPIKE_DATA"] ?? ".turnpike"
        return Configuration.absolute(named, from: self.directory)
    }

    /// Where `turnpike dev` keeps its token.
    var developmentTokenFile: String { self.dataFolder + "/token" }

    /// Where `turnpike dev` says on which address it serves.
    var developmentURLFile: String { self.dataFolder + "/url" }

    /// The gateway that the command talks to. What is not named is taken from the folder of `turnpike dev`.
    func client() throws(CommandFailure) -> GatewayClient {
        let named = self.invocation.value("--url") ?? self.environment["TURNPIKE_URL"]
        let base = named ?? Self.firstLine(self.developmentURLFile) ?? "http://127.0.0.1:7100"
        guard base.hasPrefix("http://") || base.hasPrefix("https://") else {
            throw CommandFailure(.usage, "the gateway's URL must begin with http:// or https://, not \(base)")
        }
        let trimmed = base.hasSuffix("/") ? String(base.dropLast()) : base
        return GatewayClient(base: trimmed, token: try self.token(isDevelopment: named == nil))
    }

    /// The folder's own token is for the folder's own gateway: no other address ever gets it.
    private func token(isDevelopment: Bool) throws(CommandFailure) -> String? {
        let token: String?
        if let named = self.invocation.value("--token") ?? self.environment["TURNPIKE_TOKEN"] {
            token = named
        } else if let path = self.environment["TURNPIKE_TOKEN_FILE"] {
            token = try SettingLayers.secret(path, variable: "TURNPIKE_TOKEN_FILE", read: Self.read)
        } else {
            token = isDevelopment ? Self.firstLine(self.developmentTokenFile) : nil
        }
        // A line break would smuggle a header into the request.
        guard token?.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7f }) ?? true else {
            throw CommandFailure(.usage, "the token holds characters that no token has")
        }
        return token
    }

    /// `word` as a shell takes it for one word.
    static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "/._-+:@%,=".utf8.contains(byte)
        }
        guard !isPlain || word.isEmpty else { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }

    /// A name that belongs into a path; throws a usage failure for what no name may be.
    static func name<Kind>(_ text: String, as kind: Name<Kind>.Type) throws(CommandFailure) -> Name<Kind> {
        do {
            return try Name<Kind>(text)
        } catch {
            throw CommandFailure(.usage, error.description)
        }
    }

    static func read(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    /// A file's first line; nil when there is no such file or it is empty.
    static func firstLine(_ path: String) -> String? {
        guard let text = try? self.read(path) else { return nil }
        return text.split(whereSeparator: \.isNewline).first.map(String.init)
    }

    private static var hostName: String {
        let capacity = 256
        var buffer = [CChar](repeating: 0, count: capacity)
        let result = gethostname(&buffer, capacity - 1)
        guard result == 0 else { return "replica" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
