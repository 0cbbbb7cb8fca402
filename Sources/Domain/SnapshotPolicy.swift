/// What a snapshot's body is.
package enum SnapshotFormat: String, Sendable, Hashable, Codable, CaseIterable {
    /// What the worker gave away; only a worker of the same kind can read it.
    case blob
    /// An archive of the worker's workspace, or of what changed in it.
    case directory
}

/// How an agent's state gets into snapshots: the member `snapshots` of its configuration.
///
/// The patterns are for `directory`. They are relative to the workspace, which holds `home` (HOME) and `work` (the working
/// directory): `*` and `?` match within a name, `[abc]` one of these characters, `**` any number of directories. A pattern
/// without a slash, but for one at its end, matches a name at any depth; one with a slash begins at the workspace. A slash
/// at the end means directories only. What is below a match matches too. Without `include` everything is included;
/// `exclude` wins. What is not included is not restored either.
package struct SnapshotPolicy: Sendable, Hashable {
    /// Where a snapshot comes from.
    package var kind: SnapshotFormat = .blob
    /// What is archived; empty for everything.
    package var include: [String] = []
    /// What is left out.
    package var exclude: [String] = []

    package init() {}

    /// What is wrong with it: a member's path and a sentence each.
    var problems: [(member: String, problem: String)] {
        var found: [(member: String, problem: String)] = []
        for (member, patterns) in [("include", self.include), ("exclude", self.exclude)] {
            if self.kind == .blob, !patterns.isEmpty {
                found.append(("snapshots.\(member)", "is for the kind directory"))
            }
            if patterns.count > 200 { found.append(("snapshots.\(member)", "must have at most 200 patterns")) }
            for (index, pattern) in patterns.enumerated() {
                guard let problem = Self.problem(pattern) else { continue }
                found.append(("snapshots.\(member)[\(index)]", problem))
            }
        }
        return found
    }

    private static func problem(_ pattern: String) -> String? {
        let parts = PathParts.of(pattern)
        let names = parts.last == "" ? parts.dropLast() : parts[...]
        guard !pattern.isEmpty, pattern.utf8.count <= 1_000, !pattern.utf8.contains(0) else {
            return "must be a pattern of 1 to 1000 bytes without NUL"
        }
        if pattern.utf8.first == UInt8(ascii: "!") {
            return "must not begin with !; what is left out belongs into exclude"
        }
        guard !names.isEmpty, names.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else {
            return "must be relative to the workspace, without empty names, . and .."
        }
        if names.count > 1, let first = names.first, !first.utf8.contains(where: { "*?[".utf8.contains($0) }),
            first != "home", first != "work"
        {
            return "matches nothing: a workspace holds home and work"
        }
        return nil
    }
}

extension SnapshotPolicy: Codable {
    private enum Member: String, CodingKey, CaseIterable {
        case kind, include, exclude
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        try UnknownMembers.refuse(in: decoder, known: Member.allCases.map(\.rawValue))
        let values = try decoder.container(keyedBy: Member.self)
        self.kind = try values.decodeIfPresent(SnapshotFormat.self, forKey: .kind) ?? self.kind
        self.include = try values.decodeIfPresent([String].self, forKey: .include) ?? []
        self.exclude = try values.decodeIfPresent([String].self, forKey: .exclude) ?? []
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Member.self)
        try values.encode(self.kind, forKey: .kind)
        try values.encode(self.include, forKey: .include)
        try values.encode(self.exclude, forKey: .exclude)
    }
}
