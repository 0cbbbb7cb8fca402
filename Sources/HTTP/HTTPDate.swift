import Glibc
import Runtime

/// The Date header (RFC 9110 section 5.6.7), made at most once a second.
final class HTTPDate: Sendable {
    private struct Cached {
        var second = -1
        var text: [UInt8] = []
    }

    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private let cached = Locked(Cached())

    /// The current second as a date.
    func now() -> [UInt8] {
        let second = time(nil)
        return self.cached.withLock { cached in
            if cached.second != second {
                cached = Cached(second: second, text: Array(Self.text(second).utf8))
            }
            return cached.text
        }
    }

    static func text(_ second: time_t) -> String {
        var second = second
        var parts = tm()
        gmtime_r(&second, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(self.days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(self.months[Int(parts.tm_mon)]) "
            + "\(parts.tm_year + 1900) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }
}
