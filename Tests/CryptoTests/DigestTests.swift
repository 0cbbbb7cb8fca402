import Crypto
import Testing

@Suite("Digests")
struct DigestTests {
    // Messages and digests of NIST's "SHA-256 example" and of the byte-oriented SHAVS short vectors.
    @Test(
        "known messages have their published SHA-256",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ]
    )
    func knownAnswers(message: String, digest: String) {
        #expect(Digest.hex(Digest.sha256(Array(message.utf8))) == digest)
    }

    @Test("a million letters in uneven pieces have the published digest of the whole")
    func millionLetters() {
        var digest = StreamingDigest()
        var left = 1_000_000
        var piece = 1
        while left > 0 {
            let count = min(piece, left)
            digest.update([UInt8](repeating: 0x61, count: count))
            left -= count
            piece = piece * 3 % 1021 + 1
        }
        #expect(
            Digest.hex(digest.finish()) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        )
    }

    @Test("an empty update changes nothing")
    func emptyUpdate() {
        var digest = StreamingDigest()
        digest.update([])
        digest.update(Array("abc".utf8))
        digest.update([])
        #expect(digest.finish() == Digest.sha256(Array("abc".utf8)))
    }

    @Test("hexadecimal text keeps leading zeros and is lower case")
    func hexadecimal() {
        #expect(Digest.hex([0x00, 0x0F, 0xAB, 0xFF]) == "000fabff")
        #expect(Digest.hex([]).isEmpty)
    }
}
