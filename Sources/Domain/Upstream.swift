/// Where models are served, as the gateway's operator describes it. Agents only name it: where a key goes is not theirs to
/// say.
package struct Upstream: Sendable, Hashable {
    /// How its key is sent.
    package enum KeyHeader: String, Sendable, Hashable, Codable {
        /// `Authorization: Bearer`.
        case bearer
        /// `x-api-key`.
        case apiKey = "x-api-key"
    }

    /// How an answer says which backend it is from.
    package enum BackendSource: Sendable, Hashable {
        /// In this header.
        case header(String)
        /// In this member of the answer, or of a streamed piece of it.
        case member(String)
    }

    /// What the paths of calls are appended to, without a slash at the end.
    package var url: String
    /// The file that holds the key; nil without one.
    package var keyFile: String?
    /// The variable of the gateway that holds the key; nil without one.
    package var keyVariable: String?
    /// How the key is sent.
    package var keyHeader = KeyHeader.bearer
    /// A file of certificates to trust in place of the system's.
    package var certificates: String?
    /// The header that names the backend that served the conversation last.
    package var hintHeader = Self.defaultHintHeader
    /// How an answer says which backend it is from.
    package var backend = BackendSource.header(Self.defaultHintHeader)
    /// The organizations that may use it; nil for all.
    package var organizations: [String]?

    /// The header by which a conversation's backend is hinted at, and looked for in answers, where nothing else is said.
    package static let defaultHintHeader = "x-aao-preferred-backend"

    package init(url: String) {
        self.url = url
    }

    /// Whether `text` can name an upstream.
    package static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }

    /// Whether an organization may use it; a turn without one may use what is everybody's.
    package func serves(_ org: OrganizationID?) -> Bool {
        guard let organizations = self.organizations else { return true }
        return org.map { organizations.contains($0.text) } ?? false
    }

    private var hasKey: Bool { self.keyFile != nil || self.keyVariable != nil }

    /// What is wrong with it: a member and a sentence each.
    package var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        let isPlain = self.url.hasPrefix("http://")
        if !isPlain && !self.url.hasPrefix("https://") || self.host.isEmpty || self.url.contains(where: \.isWhitespace)
        {
            found.append(("url", "must begin with https:// or http:// and a host"))
        }
        if self.url.hasSuffix("/") || self.url.contains("?") || self.url.contains("#") || self.authority.contains("@") {
            found.append(("url", "must have no name or password, no query, and no slash at the end"))
        }
        if isPlain, self.hasKey, !["127.0.0.1", "localhost", "[::1]"].contains(self.host) {
            found.append(("url", "must begin with https:// where a key is sent to another host"))
        }
        if self.keyFile != nil, self.keyVariable != nil {
            found.append(("key_file", "and key_variable exclude each other"))
        }
        if !Self.isHeader(self.hintHeader) { found.append(("hint_header", "is no name of a header")) }
        if case .header(let name) = self.backend, !Self.isHeader(name) {
            found.append(("backend.header", "is no name of a header"))
        }
        return found
    }

    private var authority: Substring {
        guard let scheme = self.url.firstRange(of: "://") else { return "" }
        return self.url[scheme.upperBound...].prefix { $0 != "/" }
    }

    private var host: String {
        let authority = self.authority
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") { return String(authority[...end]) }
        return String(authority.prefix { $0 != ":" }).lowercased()
    }

    private static func isHeader(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }
}

extension Upstream: Decodable {
    private enum Member: String, CodingKey, CaseIterable {
        case url, certificates, backend, organizations
        case keyFile = "key_file"
        case keyVariable = "key_variable"
        case keyHeader = "key_header"
        case hintHeader = "hint_header"
    }

    private struct Source: Decodable {
        let header: String?
        let member: String?
    }

    package init(from decoder: any Decoder) throws {
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.init(url: try values.decode(String.self, forKey: .url))
        self.keyFile = try values.decodeIfPresent(String.self, forKey: .keyFile)
        self.keyVariable = try values.decodeIfPresent(String.self, forKey: .keyVariable)
        self.keyHeader = try values.decodeIfPresent(KeyHeader.self, forKey: .keyHeader) ?? self.keyHeader
        self.certificates = try values.decodeIfPresent(String.self, forKey: .certificates)
        self.hintHeader = try values.decodeIfPresent(String.self, forKey: .hintHeader) ?? self.hintHeader
        self.organizations = try values.decodeIfPresent([String].self, forKey: .organizations)
        guard let source = try values.decodeIfPresent(Source.self, forKey: .backend) else { return }
        switch (source.header, source.member) {
        case (let header?, nil): self.backend = .header(header)
        case (nil, let member?): self.backend = .member(member)
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .backend,
                in: values,
                debugDescription: "must name a header or a member"
            )
        }
    }
}

/// A text that must not be shown: whatever prints it, or interpolates it by mistake, gets a mark.
package struct Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The text itself. Ask for it only where it is sent.
    package let revealed: String

    package init(_ text: String) {
        self.revealed = text
    }

    package var description: String { "***" }

    /// No more than `description`.
    package var debugDescription: String { "***" }
}
