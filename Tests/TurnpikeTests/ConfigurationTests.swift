import Domain
import Testing

@testable import turnpike

@Suite("The configuration")
struct ConfigurationTests {
    private func configuration(
        flags: [Setting: String] = [:],
        environment: [String: String] = [:],
        file: String? = nil,
        read: (String) throws -> String = { _ in "" }
    ) throws -> Configuration {
        let layers = try SettingLayers(
            flags: flags,
            environment: environment,
            file: file.map { ("turnpike.json", $0) },
            read: read
        )
        return try Configuration(layers, host: "machine", directory: "/home/me")
    }

    private func refusal(
        flags: [Setting: String] = [:],
        environment: [String: String] = [:],
        file: String? = nil
    ) throws -> String {
        let failure = #expect(throws: CommandFailure.self) {
            try self.configuration(flags: flags, environment: environment, file: file)
        }
        #expect(failure?.exit == .usage)
        return try #require(failure).message
    }

    @Test("a test build may be told to fail by the environment")
    func faults() throws {
        let environment = ["TURNPIKE_FAULT": "settleCommitted:exit", "TURNPIKE_PLANT": "newestFirst"]
        #expect(throws: Never.self) { try self.configuration(environment: environment) }
    }

    @Test("flags win over the environment, the environment over the file, the file over the defaults")
    func order() throws {
        let file = #"{"pool_size": 2, "max_workers": 20, "label": "from-file"}"#
        let environment = ["TURNPIKE_POOL_SIZE": "3", "TURNPIKE_MAX_WORKERS": "30", "PATH": "/bin"]
        let all = try self.configuration(flags: [.poolSize: "4"], environment: environment, file: file)
        #expect(all.poolSize == 4)
        #expect(all.maxWorkers == 30)
        #expect(all.label == "from-file")
        #expect(all.listen.description == "127.0.0.1:7100")
        #expect(all.origins[.poolSize]?.source == .flag("--pool-size"))
        #expect(all.origins[.maxWorkers]?.source == .variable("TURNPIKE_MAX_WORKERS"))
        #expect(all.origins[.label]?.source == .file("turnpike.json"))
        #expect(all.origins[.listen]?.source == .standard)
    }

    @Test("the defaults make a valid configuration")
    func defaults() throws {
        let all = try self.configuration()
        #expect(all.databaseURL == nil)
        #expect(all.label == "machine")
        #expect(all.organization.text == "default")
        #expect(all.usesHints)
        #expect(!all.allowsUnsafeDurability)
        #expect(all.drainGrace == .seconds(25))
        #expect(all.lockTrust == .seconds(3))
        #expect(throws: CommandFailure.self) { try all.requireDatabase() }
    }

    @Test("the direct connection is the pooled one unless it is set")
    func direct() throws {
        let one = try self.configuration(environment: ["TURNPIKE_DATABASE_URL": "postgres://a/b"])
        #expect(try one.requireDatabase().direct == "postgres://a/b")
        let two = try self.configuration(flags: [.databaseURL: "postgres://a/b", .databaseDirectURL: "host=c"])
        #expect(try two.requireDatabase() == ("postgres://a/b", "host=c"))
    }

    @Test("a secret is read from the file that a _FILE variable names, without its last newline")
    func secretFile() throws {
        let all = try self.configuration(environment: ["TURNPIKE_DATABASE_URL_FILE": "/run/secrets/db"]) { path in
            #expect(path == "/run/secrets/db")
            return "postgres://user:hidden@host/db\n"
        }
        #expect(all.databaseURL == "postgres://user:hidden@host/db")
        #expect(!all.listing.contains("hidden"))
        #expect(all.listing.contains("database_url = postgres://user:***@host/db  # TURNPIKE_DATABASE_URL_FILE\n"))
    }

    @Test("a secret that is set twice, cannot be read or is empty is refused")
    func secretRefusals() throws {
        let both = ["TURNPIKE_DATABASE_URL_FILE": "/x", "TURNPIKE_DATABASE_URL": "postgres://a/b"]
        #expect(try self.refusal(environment: both).contains("sets both"))
        #expect(try self.refusal(environment: ["TURNPIKE_DATABASE_URL_FILE": "/x"]).hasSuffix("/x is empty"))
        let failure = #expect(throws: CommandFailure.self) {
            try self.configuration(environment: ["TURNPIKE_DATABASE_URL_FILE": "/x"]) { _ in throw CancellationError() }
        }
        #expect(failure?.message == "TURNPIKE_DATABASE_URL_FILE: cannot read /x")
    }

    @Test("unknown names in the file and in the environment are refused with a suggestion")
    func unknownNames() throws {
        #expect(
            try self.refusal(file: #"{"pool_sise": 3}"#)
                == #"turnpike.json: there is no setting "pool_sise" (did you mean "pool_size"?)"#
        )
        #expect(
            try self.refusal(environment: ["TURNPIKE_LISTN": "x"])
                == #"the environment sets TURNPIKE_LISTN, which means nothing here (did you mean "TURNPIKE_LISTEN"?)"#
        )
        // Only secrets are read from files.
        #expect(try self.refusal(environment: ["TURNPIKE_LISTEN_FILE": "x"]).contains("means nothing"))
        for name in SettingLayers.otherVariables { _ = try self.configuration(environment: [name: "x"]) }
    }

    @Test(
        "a value that makes no sense is refused with its setting, its source and what it may be",
        arguments: [
            (Setting.listen, "7100"), (.listen, "host:99999"), (.listen, ":7100"), (.listen, "::1:7100"),
            (.poolSize, "0"), (.poolSize, "six"), (.logLevel, "loud"), (.maxWorkers, "-1"), (.drainSeconds, "-1"),
            (.drainSeconds, "nan"), (.lockTrustSeconds, "0.5"), (.hints, "maybe"), (.organization, "a b"),
            (.databaseURL, "mysql"), (.corsOrigins, "*"), (.corsOrigins, "https://a.example/"), (.corsOrigins, "null"),
            (.corsOrigins, "https://a.example,b.example"), (.bodyMemoryMiB, "31"),
            (.leastIsolation, "strong"), (.readablePaths, "/opt,agents"),
        ]
    )
    func wrongValues(setting: Setting, value: String) throws {
        let message = try self.refusal(flags: [setting: value])
        #expect(message.hasPrefix("\(setting.rawValue) (\(setting.flag)): "), "\(message)")
        #expect(message.contains(" is not "), "\(message)")
    }

    @Test(
        "values are read in every spelling",
        arguments: [("on", true), ("TRUE", true), ("1", true), ("off", false), ("no", false)]
    )
    func switches(text: String, expected: Bool) throws {
        #expect(try self.configuration(flags: [.hints: text]).usesHints == expected)
    }

    @Test("addresses may be IPv6 in brackets, and relative workspaces become absolute")
    func addressesAndPaths() throws {
        let all = try self.configuration(flags: [.listen: "[::1]:0", .workspaces: "w"])
        #expect(all.listen == Configuration.Address(host: "::1", port: 0))
        #expect(all.listen.description == "[::1]:0")
        #expect(all.workspaces == "/home/me/w")
    }

    @Test("origins are a list, written as browsers write them")
    func origins() throws {
        #expect(try self.configuration().corsOrigins.isEmpty)
        let text = "https://Chat.example.org, http://localhost:3000,http://[::1]:8080"
        let all = try self.configuration(flags: [.corsOrigins: text])
        #expect(all.corsOrigins == ["https://chat.example.org", "http://localhost:3000", "http://[::1]:8080"])
        for port in ["https://a.example:443", "http://a.example:80", "http://[::1]:80"] {
            #expect(try self.refusal(flags: [.corsOrigins: port]).contains("own port"))
        }
        #expect(try self.configuration(flags: [.corsOrigins: "https://a:80,http://[::443]"]).corsOrigins.count == 2)
    }

    @Test("the file must be one JSON object of plain values", arguments: ["", "[]", "{", #"{"listen": null}"#])
    func badFiles(text: String) throws {
        #expect(try self.refusal(file: text).hasPrefix("turnpike.json: "))
    }

    @Test("a numeral and a truth value in the file mean the same as their text")
    func fileTypes() throws {
        let all = try self.configuration(file: #"{"hints": false, "lock_trust_seconds": 1.5, "max_workers": 7}"#)
        #expect(!all.usesHints)
        #expect(all.lockTrust == .milliseconds(1_500))
        #expect(all.maxWorkers == 7)
    }

    @Test("the files that the program is configured by are hidden from workers, whatever names them")
    func hiddenFiles() throws {
        let layers = try SettingLayers(
            flags: [.upstreams: "models.json", .leastIsolation: "sandbox", .readablePaths: "/opt,/srv/agents"],
            environment: ["TURNPIKE_DATABASE_URL_FILE": "/run/secrets/url"],
            file: ("turnpike.json", "{}"),
            read: { _ in "postgres://h/d" }
        )
        let floor = try Configuration(layers, host: "h", directory: "/etc/turnpike").floor
        #expect(floor.least == .sandbox && floor.readable == ["/opt", "/srv/agents"])
        let files = ["/etc/turnpike/turnpike.json", "/run/secrets/url", "/etc/turnpike/models.json"]
        #expect(Set(floor.hidden) == Set(files))
    }

    @Test(
        "passwords do not show, however the connection string spells them",
        arguments: [
            ("postgres://u:p@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:p/w@h/d", "postgres://u:***@h/d"),
            ("postgres://u:p@w@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgresql:///d?host=/run&password=p&user=u", "postgresql:///d?host=/run&password=***&user=u"),
            ("host=h password=p user=u", "host=h password=*** user=u"),
            ("host=h password='a b' user=u", "host=h password=*** user=u"),
            ("host=h sslpassword=p", "host=h sslpassword=***"),
        ]
    )
    func redaction(text: String, expected: String) {
        #expect(Redaction.hide(text) == expected)
    }

    @Test("a suggestion of the program gives way to everything that the user set")
    func suggestions() throws {
        var layers = try SettingLayers(environment: ["TURNPIKE_LISTEN": "h:1"])
        layers.suggest("x:2", for: .listen)
        layers.suggest("/data/workspaces", for: .workspaces)
        #expect(layers.origins[.listen]?.value == "h:1")
        #expect(layers.origins[.workspaces]?.value == "/data/workspaces")
    }
}
