import Crypto

/// The secret of an API token: `tpk_`, 27 base62 characters of 160 random bits, 6 of their CRC32.
///
/// The checksum lets a mistyped token be refused without a database look-up and lets scanners recognise a leaked one.
package struct TokenSecret: Sendable {
    /// What the client sends.
    package let text: String

    static let prefix = "tpk_"
    private static let randomLength = 27
    private static let checkLength = 6

    /// A fresh secret.
    package static func make() -> TokenSecret {
        let random = Base62.encode(RandomBytes.make(20))
        let body = String(repeating: "0", count: max(0, self.randomLength - random.count)) + random
        return TokenSecret(text: self.prefix + body + self.check(body))
    }

    /// Accepts what looks like a token and has a right checksum; nil for everything else.
    package init?(_ text: String) {
        guard text.utf8.count == Self.prefix.utf8.count + Self.randomLength + Self.checkLength,
            text.hasPrefix(Self.prefix)
        else { return nil }
        let rest = text.dropFirst(Self.prefix.count)
        let body = String(rest.prefix(Self.randomLength))
        guard Self.check(body) == rest.suffix(Self.checkLength) else { return nil }
        self.text = text
    }

    private init(text: String) {
        self.text = text
    }

    /// What is stored and looked up: SHA-256 of the whole text.
    package var hash: [UInt8] {
        Digest.sha256(Array(self.text.utf8))
    }

    private static func check(_ body: String) -> String {
        let sum = CRC32.of(Array(body.utf8))
        let bytes = [UInt8(sum >> 24), UInt8(sum >> 16 & 255), UInt8(sum >> 8 & 255), UInt8(sum & 255)]
        let digits = Base62.encode(bytes)
        return String(repeating: "0", count: max(0, self.checkLength - digits.count)) + digits.suffix(self.checkLength)
    }
}
