/// A tool server that an agent is to connect to, as the Agent Client Protocol writes it.
package struct MCPServer: Sendable, Hashable {
    /// How it is reached.
    package enum Transport: String, Sendable, Hashable, Codable, CaseIterable {
        /// A program that the agent starts. Every agent can.
        case stdio
        /// Streamable HTTP.
        case http
        /// Server-sent events.
        case sse
    }

    /// A variable of a program's environment, or a header of a request.
    package struct Pair: Sendable, Hashable {
        /// Its name.
        package var name: String
        /// Its value.
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        fileprivate var json: JSONValue { ["name": .string(self.name), "value": .string(self.value)] }
    }

    /// A name for people; the agent may make it part of the names of tools.
    package var name: String
    /// How it is reached.
    package var transport = Transport.stdio
    /// With `stdio`: the absolute path of the program.
    package var command: String?
    /// With `stdio`: its arguments.
    package var arguments: [String] = []
    /// With `stdio`: added to its environment.
    package var environment: [Pair] = []
    /// With `http` and `sse`: where it is.
    package var url: String?
    /// With `http` and `sse`: sent with each request.
    package var headers: [Pair] = []

    /// A program.
    package init(name: String, command: String, arguments: [String] = [], environment: [Pair] = []) {
        self.name = name
        self.command = command
        self.arguments = arguments
        self.environment = environment
    }

    /// A server somewhere else.
    package init(name: String, transport: Transport, url: String, headers: [Pair] = []) {
        self.name = name
        self.transport = transport
        self.url = url
        self.headers = headers
    }

    /// The member of `session/new`.
    package var json: JSONValue {
        switch self.transport {
        case .stdio:
            [
                "name": .string(self.name), "command": .string(self.command ?? ""),
                "args": .array(self.arguments.map { .string($0) }), "env": .array(self.environment.map(\.json)),
            ]
        case .http, .sse:
            [
                "type": .string(self.transport.rawValue), "name": .string(self.name), "url": .string(self.url ?? ""),
                "headers": .array(self.headers.map(\.json)),
            ]
        }
    }

    /// What is wrong with it: a member and a sentence each.
    var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        if self.name.isEmpty { found.append(("name", "must not be empty")) }
        switch self.transport {
        case .stdio:
            if self.command.map(PathParts.isAbsolute) != true { found.append(("command", "must be an absolute path")) }
            if self.url != nil || !self.headers.isEmpty { found.append(("url", "and headers are for http and sse")) }
        case .http, .sse:
            let bytes = self.url?.utf8
            if bytes?.starts(with: "http://".utf8) != true && bytes?.starts(with: "https://".utf8) != true {
                found.append(("url", "must begin with http:// or https://"))
            }
            if self.command != nil || !self.arguments.isEmpty || !self.environment.isEmpty {
                found.append(("command", "with args and env is for stdio"))
            }
        }
        let names = self.environment.map(\.name) + self.headers.map(\.name)
        let texts = [self.command ?? "", self.url ?? ""] + self.arguments + names
        let values = self.environment.map(\.value) + self.headers.map(\.value)
        if names.contains(where: \.isEmpty) || (texts + values).contains(where: { $0.utf8.contains(0) }) {
            found.append(("env", "or another member has an empty name or contains NUL"))
        }
        return found
    }
}

extension MCPServer: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case name, type, command, args, env, url, headers
    }

    package init(from decoder: any Decoder) throws {
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.name = try values.decode(String.self, forKey: .name)
        self.transport = try values.decodeIfPresent(Transport.self, forKey: .type) ?? .stdio
        self.command = try values.decodeIfPresent(String.self, forKey: .command)
        self.arguments = try values.decodeIfPresent([String].self, forKey: .args) ?? []
        self.environment = try values.decodeIfPresent([Pair].self, forKey: .env) ?? []
        self.url = try values.decodeIfPresent(String.self, forKey: .url)
        self.headers = try values.decodeIfPresent([Pair].self, forKey: .headers) ?? []
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.name, forKey: .name)
        if self.transport != .stdio { try values.encode(self.transport, forKey: .type) }
        try values.encodeIfPresent(self.command, forKey: .command)
        if !self.arguments.isEmpty { try values.encode(self.arguments, forKey: .args) }
        if !self.environment.isEmpty { try values.encode(self.environment, forKey: .env) }
        try values.encodeIfPresent(self.url, forKey: .url)
        if !self.headers.isEmpty { try values.encode(self.headers, forKey: .headers) }
    }
}

extension MCPServer.Pair: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case name, value
    }

    package init(from decoder: any Decoder) throws {
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.name = try values.decode(String.self, forKey: .name)
        self.value = try values.decode(String.self, forKey: .value)
    }
}
