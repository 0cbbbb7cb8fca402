/// Rules about the text of one Swift file.
enum CodeRules {
    static let longestFile = 400
    static let longestFunction = 70

    /// Where `print` may be used: the one file that writes to the terminal.
    private static let terminal = "Sources/turnpike/Console.swift"

    /// Promises to do something later. Written so that this file does not hold them.
    private static let promises = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]

    /// The file's length.
    static func fileLengthViolations(_ path: String, _ text: String) -> [Violation] {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count - (text.hasSuffix("\n") ? 1 : 0)
        guard lines > self.longestFile else { return [] }
        return [Violation(path: path, line: lines, message: "\(lines) lines; at most \(self.longestFile)")]
    }

    /// Functions, initializers and the like that are too long, braces and signature included.
    static func functionLengthViolations(_ source: SwiftSource) -> [Violation] {
        source.code.indices.compactMap { index in
            guard self.beginsFunction(source.code[index]) else { return nil }
            guard let last = self.end(of: index, in: source.code) else { return nil }
            let length = last - index + 1
            guard length > self.longestFunction else { return nil }
            return source.violation(index + 1, "a function of \(length) lines; at most \(self.longestFunction)")
        }
    }

    /// Words and calls that are not used here, most of them because something better is at hand.
    static func bannedWordViolations(_ source: SwiftSource) -> [Violation] {
        let isProgram = source.path.hasPrefix("Sources/")
        var violations: [Violation] = []
        for (index, line) in source.code.enumerated() {
            var found: [String] = []
            if line.contains("try!") { found.append("try!") }
            if line.contains("fatalError()") { found.append("fatalError without a reason") }
            if line.contains("nonisolated(unsafe)") { found.append("nonisolated(unsafe)") }
            if isProgram && SwiftSource.words(line).contains("detached") && line.contains("Task.detached") {
                found.append("Task.detached")
            }
            if isProgram && source.path != self.terminal && self.calls("print", in: line) { found.append("print") }
            let words = Set(SwiftSource.words(source.lines[index]))
            found += self.promises.filter(words.contains)
            violations += found.map { source.violation(index + 1, "not used here: \($0)") }
        }
        return violations
    }

    /// Promises to the compiler, allowed to the platform when the comment of the declaration says what keeps them.
    static func uncheckedViolations(_ source: SwiftSource) -> [Violation] {
        guard source.path.hasPrefix("Sources/") else { return [] }
        return source.code.indices.filter { source.code[$0].contains("@unchecked Sendable") }.compactMap { index in
            guard ModuleRules.platform.contains(source.module) else {
                return source.violation(index + 1, "@unchecked Sendable outside the platform")
            }
            guard !source.comment(above: index).contains("@unchecked Sendable") else { return nil }
            return source.violation(index + 1, "@unchecked Sendable without a comment that says what makes it safe")
        }
    }

    private static func calls(_ name: String, in line: String) -> Bool {
        line.ranges(of: "\(name)(").contains { range in
            guard range.lowerBound > line.startIndex else { return true }
            if line[..<range.lowerBound].hasSuffix("func ") { return false }
            let before = line[line.index(before: range.lowerBound)]
            return !(before.isLetter || before.isNumber || before == "_" || before == ".")
        }
    }

    private static func beginsFunction(_ line: String) -> Bool {
        guard let declaration = Declaration(line, line: 0) else { return false }
        return ["func", "init", "deinit", "subscript"].contains(declaration.keyword)
    }

    /// The line on which the body that begins at or after `start` ends; nil for a requirement without a body.
    private static func end(of start: Int, in code: [String]) -> Int? {
        var parentheses = 0
        var braces = 0
        for index in start..<code.count {
            if index > start && braces == 0 && parentheses == 0 && Declaration(code[index], line: 0) != nil {
                return nil
            }
            for character in code[index] {
                switch character {
                case "(", "[": parentheses += 1
                case ")", "]": parentheses -= 1
                case "{": braces += 1
                case "}":
                    braces -= 1
                    if braces == 0 { return index }
                    if braces < 0 { return nil }
                default: break
                }
            }
        }
        return nil
    }
}
