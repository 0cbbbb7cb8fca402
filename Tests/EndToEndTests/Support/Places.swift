import TestKit

/// Where things are, from this file's own place.
enum Places {
    static let repository: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(4)
        return "/" + parts.joined(separator: "/")
    }()

    /// The program under test, beside the test bundle, and its launcher beside it.
    static func turnpike() throws -> String {
        let build = "\(self.repository)/.build/debug"
        _ = try Missing.program("\(build)/turnpike-launcher", remedy: "make .build/debug/turnpike-launcher")
        return try Missing.program("\(build)/turnpike", remedy: "swift build")
    }

    static func worker(_ name: String) -> String {
        "\(self.repository)/Tests/EndToEndTests/workers/\(name)"
    }

    /// The command of a scripted worker that the suites share.
    static func double(_ name: String, _ arguments: String...) -> [String] {
        ["/usr/bin/python3", "-I", "-S", "\(self.repository)/Tests/Doubles/\(name)"] + arguments
    }

    /// Where a scripted double is.
    static func path(ofDouble name: String) -> String {
        "\(self.repository)/Tests/Doubles/\(name)"
    }

    /// The interpreter with the public SDK.
    static func sdkPython() throws -> String {
        try Missing.program("\(self.repository)/.venv/bin/python", remedy: "make .venv/ready")
    }
}
