import Foundation
import TestKit

/// libfaketime: a wall clock of one process's own.
enum FakeTime {
    private static let library = "/usr/lib/\(Self.machine)-linux-gnu/faketime/libfaketimeMT.so.1"

    private static var machine: String {
        #if arch(arm64)
            "aarch64"
        #else
            "x86_64"
        #endif
    }

    /// What sets a process's wall clock so many seconds off and leaves its monotonic clock alone.
    static func environment(_ seconds: Int) throws -> [String: String] {
        guard access(self.library, R_OK) == 0 else {
            throw Missing(description: "\(self.library) is missing: apt-get install libfaketime")
        }
        return [
            "LD_PRELOAD": self.library, "FAKETIME": "\(seconds < 0 ? "" : "+")\(seconds)s",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// How far a replica's clock is off, by what it says of itself.
    static func offset(ofPort port: Int) async throws -> Int {
        let answer = try await HTTPClient(port: port).send("GET", "/livez")
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        guard let date = answer.headers["date"].flatMap(format.date(from:)) else { return 0 }
        return Int(date.timeIntervalSinceNow.rounded())
    }
}
