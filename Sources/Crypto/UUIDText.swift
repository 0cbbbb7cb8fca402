import Glibc

/// UUIDs as lower-case text (RFC 9562, section 4).
package enum UUIDText {
    /// Version 4: 122 random bits.
    package static func random() -> String {
        self.text(RandomBytes.make(16), version: 4)
    }

    /// Version 8: the first bits of `digest`, which has at least 16 bytes.
    package static func derived(from digest: [UInt8]) -> String {
        self.text(Array(digest.prefix(16)), version: 8)
    }

    /// Version 7: 48 bits of Unix milliseconds, then 74 random bits, so that later ids sort later and an index grows at
    /// its end. Ids of the same millisecond have no order.
    package static func timeOrdered() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return self.timeOrdered(milliseconds: UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000)
    }

    static func timeOrdered(milliseconds: UInt64) -> String {
        let time = (0..<6).map { UInt8(truncatingIfNeeded: milliseconds >> (40 - 8 * $0)) }
        return self.text(time + RandomBytes.make(10), version: 7)
    }

    /// Sets the version and variant bits of 16 bytes and writes them in groups of 8-4-4-4-12 digits.
    static func text(_ bytes: [UInt8], version: UInt8) -> String {
        var bytes = bytes
        bytes[6] = bytes[6] & 0x0F | version << 4
        bytes[8] = bytes[8] & 0x3F | 0x80
        var rest = Digest.hex(bytes)[...]
        var groups: [Substring] = []
        for length in [8, 4, 4, 4, 12] {
            groups.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return groups.joined(separator: "-")
    }
}
