import Domain
import Runtime

/// Everything the program is told, validated once: flags before environment before file before defaults.
struct Configuration: Sendable {
    /// Where to listen.
    struct Address: Sendable, Hashable, CustomStringConvertible {
        /// An address or a name; IPv6 without its brackets.
        var host: String
        var port: Int

        var description: String {
            self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
        }
    }

    var listen: Address
    /// Nil when nobody named one; see `requireDatabase`.
    var databaseURL: String?
    /// The direct one; the same as `databaseURL` unless set.
    var databaseDirectURL: String?
    var poolSize: Int
    var logLevel: LogLevel
    /// Absolute.
    var workspaces: String
    var maxWorkers: Int
    var drainGrace: Duration
    var lockTrust: Duration
    var leaseWait: Duration
    var allowsUnsafeDurability: Bool
    var usesHints: Bool
    /// Absolute; nil where workers use no models through the gateway.
    var upstreams: String?
    var proxyListen: Address
    var label: String
    var organization: OrganizationID
    /// The file of the accounts that this replica hosts, absolute; nil when it hosts none.
    var accounts: String?
    /// Origins of pages that may call the API from a browser.
    var corsOrigins: [String]
    /// The file about the identity provider, absolute; nil where there is none.
    var identity: String?
    /// Bytes, of each listener.
    var bodyMemory: Int
    /// What no agent goes below. The files that this program is configured by are hidden from workers.
    var floor: IsolationFloor
    /// The texts that won, and where each is from.
    let origins: [Setting: SettingOrigin]

    /// Validates `layers`. `host` is the machine's name, `directory` the one relative paths start from.
    init(_ layers: SettingLayers, host: String, directory: String) throws(CommandFailure) {
        let reader = SettingReader(layers)
        self.listen = try reader.address(.listen)
        self.databaseURL = try reader.databaseURL(.databaseURL)
        self.databaseDirectURL = try reader.databaseURL(.databaseDirectURL) ?? self.databaseURL
        self.poolSize = try reader.integer(.poolSize, in: 1...64)
        self.logLevel = try reader.choice(.logLevel)
        self.workspaces = Self.absolute(reader.text(.workspaces), from: directory)
        self.maxWorkers = try reader.integer(.maxWorkers, in: 1...100_000)
        self.drainGrace = try reader.seconds(.drainSeconds, in: 0...3_600)
        self.lockTrust = try reader.seconds(.lockTrustSeconds, in: 1...60)
        self.leaseWait = try reader.seconds(.leaseWaitSeconds, in: 1...86_400)
        self.allowsUnsafeDurability = try reader.isOn(.allowUnsafeDurability)
        self.usesHints = try reader.isOn(.hints)
        self.upstreams = layers.origins[.upstreams].map { Self.absolute($0.value, from: directory) }
        self.proxyListen = try reader.address(.proxyListen)
        self.label = layers.origins[.label]?.value ?? host
        self.organization = try reader.name(.organization)
        self.accounts = layers.origins[.accounts].map { Self.absolute($0.value, from: directory) }
        self.corsOrigins = try reader.origins(.corsOrigins)
        self.identity = layers.origins[.identity].map { Self.absolute($0.value, from: directory) }
        // The largest body must fit.
        self.bodyMemory = try reader.integer(.bodyMemoryMiB, in: (Limits().modelBodyBytes >> 20)...65_536) << 20
        self.floor = IsolationFloor(
            least: try reader.choice(.leastIsolation),
            readable: try reader.paths(.readablePaths),
            hidden: layers.files.map { Self.absolute($0, from: directory) }
                + [self.upstreams, self.accounts, self.identity].compactMap(\.self)
        )
        self.origins = layers.origins
    }

    /// The pooled and the direct connection string; throws a usage failure that says how to name one.
    func requireDatabase() throws(CommandFailure) -> (pooled: String, direct: String) {
        guard let pooled = self.databaseURL ?? self.databaseDirectURL else {
            throw CommandFailure(
                .usage,
                "no database is configured",
                remedy: """
                    Set \(Setting.databaseURL.variable), for example to postgres://user@host/turnpike,
                    or run "turnpike dev", which brings its own.
                    """
            )
        }
        return (pooled, self.databaseDirectURL ?? pooled)
    }

    static func absolute(_ path: String, from directory: String) -> String {
        path.hasPrefix("/") ? path : directory + "/" + path
    }

    /// What `--print-config` prints: each setting, its value and its source, passwords hidden.
    var listing: String {
        Setting.allCases.map { setting in
            let origin = self.origins[setting]
            let value = origin?.value ?? self.derived(setting)
            let shown = setting.isSecret ? Redaction.hide(value) : value
            let source = origin?.source.description ?? (value.isEmpty ? "not set" : "derived")
            return "\(setting.rawValue) = \(shown)  # \(source)"
        }.joined(separator: "\n") + "\n"
    }

    private func derived(_ setting: Setting) -> String {
        switch setting {
        case .label: self.label
        case .databaseDirectURL: self.databaseDirectURL ?? ""
        default: setting.defaultText ?? ""
        }
    }
}

/// Texts to values, with errors that name the setting, where it was set, and what it may be.
private struct SettingReader {
    let layers: SettingLayers

    init(_ layers: SettingLayers) {
        self.layers = layers
    }

    func text(_ setting: Setting) -> String {
        self.layers.origins[setting]?.value ?? setting.defaultText ?? ""
    }

    func integer(_ setting: Setting, in range: ClosedRange<Int>) throws(CommandFailure) -> Int {
        guard let number = Int(self.text(setting)), range.contains(number) else {
            throw self.wrong(setting, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func seconds(_ setting: Setting, in range: ClosedRange<Double>) throws(CommandFailure) -> Duration {
        guard let seconds = Double(self.text(setting)), range.contains(seconds) else {
            throw self.wrong(setting, "seconds from \(Int(range.lowerBound)) to \(Int(range.upperBound))")
        }
        return .milliseconds(Int64((seconds * 1000).rounded()))
    }

    func isOn(_ setting: Setting) throws(CommandFailure) -> Bool {
        switch self.text(setting).lowercased() {
        case "on", "true", "yes", "1": true
        case "off", "false", "no", "0": false
        default: throw self.wrong(setting, "on or off")
        }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(_ setting: Setting) throws(CommandFailure) -> Choice
    where Choice.RawValue == String {
        guard let choice = Choice(rawValue: self.text(setting)) else {
            throw self.wrong(setting, "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    func name<Kind>(_ setting: Setting) throws(CommandFailure) -> Name<Kind> {
        do {
            return try Name<Kind>(self.text(setting))
        } catch {
            throw self.wrong(setting, "1 to 128 letters, digits and . _ : -")
        }
    }

    /// Absolute paths, separated by commas.
    func paths(_ setting: Setting) throws(CommandFailure) -> [String] {
        let paths = self.text(setting).split(separator: ",").map(String.init)
        guard paths.allSatisfy({ $0.hasPrefix("/") }) else { throw self.wrong(setting, "a list of absolute paths") }
        return paths
    }

    /// Origins as browsers write them, separated by commas.
    func origins(_ setting: Setting) throws(CommandFailure) -> [String] {
        let origins = self.text(setting).split(separator: ",").map { $0.filter { $0 != " " }.lowercased() }
        for origin in origins
        where origin.wholeMatch(of: /https?:\/\/([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?/) == nil {
            throw self.wrong(setting, "a list of origins like https://chat.example.org, without paths or wildcards")
        }
        // No browser sends such an origin, so it would let nobody in.
        for origin in origins where origin.wholeMatch(of: /(http:.*:0*80)|(https:.*:0*443)/) != nil {
            throw self.wrong(setting, "a list of origins as browsers write them, without the scheme's own port")
        }
        return origins
    }

    func databaseURL(_ setting: Setting) throws(CommandFailure) -> String? {
        guard let text = self.layers.origins[setting]?.value else { return nil }
        // libpq takes a URL or a list of key=value.
        guard text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") || text.contains("=") else {
            throw self.wrong(setting, "postgres://user:password@host:port/database")
        }
        return text
    }

    func address(_ setting: Setting) throws(CommandFailure) -> Configuration.Address {
        let text = self.text(setting)
        let halves = text.lastIndex(of: ":").map { (text[..<$0], text[text.index(after: $0)...]) }
        guard let (host, portText) = halves, let port = Int(portText), (0...65_535).contains(port), !host.isEmpty else {
            throw self.wrong(setting, "host:port, for example 127.0.0.1:7100")
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            return Configuration.Address(host: String(host.dropFirst().dropLast()), port: port)
        }
        guard !host.contains(":") else { throw self.wrong(setting, "[address]:port when the address is IPv6") }
        return Configuration.Address(host: String(host), port: port)
    }

    private func wrong(_ setting: Setting, _ expected: String) -> CommandFailure {
        let source = self.layers.origins[setting]?.source.description ?? "default"
        let value = setting.isSecret ? "its value" : #""\#(self.text(setting))""#
        return CommandFailure(.usage, "\(setting.rawValue) (\(source)): \(value) is not \(expected)")
    }
}
