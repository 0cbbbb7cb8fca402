/// A pattern for paths, as in .gitignore: `*` and `?` match within a name, `[abc]`, `[a-z]` and `[!a]` one character, `**`
/// any number of directories. Without a slash, but for one at its end, it matches a name at any depth. A slash at its end
/// means directories only. What is below a match matches.
package struct PathPattern: Hashable, Sendable {
    /// How far a path is a match.
    enum Verdict {
        case matches
        /// Something below it may match.
        case leadsToMatch
        case differs
    }

    private enum Part: Hashable {
        case anyDirectories
        case name([UInt8])
    }

    private let parts: [Part]
    private let isForDirectories: Bool

    package init(_ text: String) {
        var names = Array(text.utf8).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true).map(
            Array.init
        )
        self.isForDirectories = text.hasSuffix("/")
        if names.count == 1 { names.insert(Array("**".utf8), at: 0) }
        self.parts = names.map { $0 == Array("**".utf8) ? .anyDirectories : .name($0) }
    }

    /// Judges a path, given as its names. What is above its last name is a directory.
    func judge(_ path: [[UInt8]], isDirectory: Bool) -> Verdict {
        Self.judge(self.parts[...], path[...], isDirectory: isDirectory, onlyDirectories: self.isForDirectories)
    }

    private static func judge(
        _ parts: ArraySlice<Part>,
        _ path: ArraySlice<[UInt8]>,
        isDirectory: Bool,
        onlyDirectories: Bool
    ) -> Verdict {
        guard let part = parts.first else {
            // Everything is used up at a match; names that are left are below it, so it was a directory.
            return !onlyDirectories || isDirectory || !path.isEmpty ? .matches : .differs
        }
        let rest = parts.dropFirst()
        switch part {
        case .anyDirectories:
            var best = isDirectory ? Verdict.leadsToMatch : .differs
            // At the end it stands for everything below, not for nothing.
            for used in (rest.isEmpty ? 1 : 0)...max(rest.isEmpty ? 1 : 0, path.count) where used <= path.count {
                let verdict = Self.judge(
                    rest,
                    path.dropFirst(used),
                    isDirectory: isDirectory,
                    onlyDirectories: onlyDirectories
                )
                if verdict == .matches { return .matches }
                if verdict == .leadsToMatch { best = .leadsToMatch }
            }
            return best
        case .name(let pattern):
            guard let name = path.first else { return isDirectory ? .leadsToMatch : .differs }
            guard self.matches(pattern[...], name[...]) else { return .differs }
            return Self.judge(rest, path.dropFirst(), isDirectory: isDirectory, onlyDirectories: onlyDirectories)
        }
    }

    /// One name against one part of a pattern. Goes back to the last `*` only, so it takes no more steps than the product
    /// of the lengths.
    private static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        var (pattern, name) = (pattern, name)
        var retry: (pattern: ArraySlice<UInt8>, name: ArraySlice<UInt8>)?
        while true {
            if pattern.first == UInt8(ascii: "*") {
                pattern = pattern.dropFirst()
                retry = (pattern, name)
                continue
            }
            if name.isEmpty && pattern.isEmpty { return true }
            if let byte = name.first, let rest = self.one(pattern, byte) {
                (pattern, name) = (rest, name.dropFirst())
                continue
            }
            guard let last = retry, !last.name.isEmpty else { return false }
            (pattern, name) = (last.pattern, last.name.dropFirst())
            retry = (pattern, name)
        }
    }

    /// What is left of the pattern when its first element matches `byte`; nil when it does not.
    private static func one(_ pattern: ArraySlice<UInt8>, _ byte: UInt8) -> ArraySlice<UInt8>? {
        guard let first = pattern.first else { return nil }
        if first == UInt8(ascii: "?") { return pattern.dropFirst() }
        guard first == UInt8(ascii: "["), let end = pattern.dropFirst(2).firstIndex(of: UInt8(ascii: "]")) else {
            return first == byte ? pattern.dropFirst() : nil
        }
        var set = pattern[(pattern.startIndex + 1)..<end]
        let isNegated = set.first == UInt8(ascii: "!") || set.first == UInt8(ascii: "^")
        if isNegated { set = set.dropFirst() }
        var isIn = false
        while let low = set.first {
            if set.count >= 3, set[set.startIndex + 1] == UInt8(ascii: "-") {
                isIn = isIn || (low...max(low, set[set.startIndex + 2])).contains(byte)
                set = set.dropFirst(3)
            } else {
                isIn = isIn || low == byte
                set = set.dropFirst()
            }
        }
        return isIn != isNegated ? pattern[(end + 1)...] : nil
    }
}

/// Which part of a tree is meant.
package struct TreeSelection: Hashable, Sendable {
    /// Names at the top that exist at all; everything else there is left alone.
    package let tops: Set<String>
    /// Names at the top that no pattern is asked about.
    package let always: Set<String>
    private let include: [PathPattern]
    private let exclude: [PathPattern]

    package init(tops: Set<String>, always: Set<String> = [], include: [String] = [], exclude: [String] = []) {
        self.tops = tops
        self.always = always
        self.include = include.map(PathPattern.init)
        self.exclude = exclude.map(PathPattern.init)
    }

    /// Whether a path is meant, itself or as the way to something.
    func takes(_ path: [[UInt8]], isDirectory: Bool) -> Bool {
        guard let top = path.first.map({ String(decoding: $0, as: UTF8.self) }) else { return true }
        if self.always.contains(top) { return true }
        guard self.tops.contains(top) else { return false }
        // The top itself is the way to everything.
        if path.count == 1 { return isDirectory }
        if self.exclude.contains(where: { $0.judge(path, isDirectory: isDirectory) == .matches }) { return false }
        if self.include.isEmpty { return true }
        return self.include.contains { pattern in
            switch pattern.judge(path, isDirectory: isDirectory) {
            case .matches: true
            case .leadsToMatch: isDirectory
            case .differs: false
            }
        }
    }
}
