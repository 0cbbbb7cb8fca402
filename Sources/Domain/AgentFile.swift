/// Who has the last word on a file that an agent's configuration brings along.
package enum FileOwner: String, Sendable, Hashable, Codable, CaseIterable {
    /// Written once, before the conversation's first worker; from then on it is the worker's, and snapshots carry it.
    case worker
    /// Written before every start, over whatever is there: what the configuration says now is what a worker finds.
    case gateway
}

/// A file that is put into a worker's workspace before its program starts.
package struct AgentFile: Sendable, Hashable {
    /// What it holds.
    package var text: String
    /// Who has the last word on it.
    package var owner: FileOwner

    package init(_ text: String, owner: FileOwner = .worker) {
        self.text = text
        self.owner = owner
    }

    /// All files of an agent together, in bytes: they are stored with its configuration and read with every start.
    static let bytesTogether = 1 << 20
    /// The directories of a workspace that may be written to.
    static let places = ["home", "work"]

    /// What is wrong with an agent's files, by path: a member's path and a sentence each.
    static func problems(_ files: [String: AgentFile]) -> [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        for path in files.keys.sorted() {
            let member = "files.\(path)"
            if let problem = self.problem(path) { found.append((member, problem)) }
            if files.keys.contains(where: { $0.utf8.starts(with: "\(path)/".utf8) }) {
                found.append((member, "is a file here and a directory in another path"))
            }
        }
        let total = files.reduce(0) { $0 + $1.key.utf8.count + $1.value.text.utf8.count }
        if total > self.bytesTogether { found.append(("files", "are together over \(self.bytesTogether) bytes")) }
        return found
    }

    private static func problem(_ path: String) -> String? {
        let parts = PathParts.of(path)
        guard parts.count > 1, self.places.contains(parts[0]) else {
            return "must be a path that begins with home/ or work/"
        }
        let isPlain = parts.allSatisfy { part in
            !part.isEmpty && part != "." && part != ".." && !part.utf8.contains(0) && part.utf8.count <= 255
        }
        return isPlain && path.utf8.count <= 1_024 ? nil : "must be a plain path: no empty, \".\" or \"..\" part in it"
    }
}

extension AgentFile: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case text, owner
    }

    /// Either the text alone, or an object that also names the owner.
    package init(from decoder: any Decoder) throws {
        if let text = try? decoder.singleValueContainer().decode(String.self) {
            self.init(text)
            return
        }
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.init(
            try values.decode(String.self, forKey: .text),
            owner: try values.decodeIfPresent(FileOwner.self, forKey: .owner) ?? .worker
        )
    }

    package func encode(to encoder: any Encoder) throws {
        guard self.owner != .worker else {
            var value = encoder.singleValueContainer()
            return try value.encode(self.text)
        }
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.text, forKey: .text)
        try values.encode(self.owner, forKey: .owner)
    }
}
