import Crypto
import Testing

@Suite("Random bytes, base 62 and checksums")
struct EncodingTests {
    @Test("random bytes come in the asked number and do not repeat")
    func randomBytes() {
        #expect(RandomBytes.make(0).isEmpty)
        #expect(RandomBytes.make(33).count == 33)
        #expect(RandomBytes.make(32) != RandomBytes.make(32))
        // Each of the 256 values misses in 64 KiB of fair bytes with a chance below 1e-108.
        #expect(Set(RandomBytes.make(65536)).count == 256)
    }

    @Test("numbers are written in base 62 without leading zeros")
    func base62() {
        #expect(Base62.encode([]) == "0")
        #expect(Base62.encode([0, 0]) == "0")
        #expect(Base62.encode([61]) == "z")
        #expect(Base62.encode([62]) == "10")
        #expect(Base62.encode([0, 255]) == "47")
        #expect(Base62.encode([255, 255, 255, 255]) == "4gfFC3")
        #expect(Base62.encode([UInt8](repeating: 255, count: 20)).utf8.count == 27)
    }

    @Test("base64 is read and written as in RFC 4648, and nothing else is read")
    func base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            #expect(Base64.encode(Array(bytes.utf8)) == text)
            #expect(Base64.decode(text) == Array(bytes.utf8))
        }
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9v\n", "Zm 9", "Zm9-"] {
            #expect(Base64.decode(text) == nil, "\(text)")
        }
        let all = (0...255).map(UInt8.init)
        #expect(Base64.decode(Base64.encode(all)) == all)
    }

    @Test("the checksum is the published one of its test string")
    func checksum() {
        #expect(CRC32.of(Array("123456789".utf8)) == 0xCBF4_3926)
        #expect(CRC32.of([]) == 0)
        #expect(CRC32.of([UInt8](repeating: 0, count: 32)) == 0x190A_55AD)
    }
}
