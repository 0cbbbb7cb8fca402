import Testing

@testable import Crypto

@Suite("UUIDs")
struct UUIDTextTests {
    @Test("random ids have the shape of RFC 9562 version 4 and differ")
    func versionFour() throws {
        let ids = (0..<1000).map { _ in UUIDText.random() }
        #expect(Set(ids).count == ids.count)
        let shape = try Regex("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        for id in ids {
            #expect(id.wholeMatch(of: shape) != nil, "\(id)")
        }
    }

    @Test("time-ordered ids have the shape of RFC 9562 version 7 and differ")
    func versionSeven() throws {
        let ids = (0..<1000).map { _ in UUIDText.timeOrdered() }
        #expect(Set(ids).count == ids.count)
        let shape = try Regex("^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        for id in ids {
            #expect(id.wholeMatch(of: shape) != nil, "\(id)")
        }
    }

    @Test("the RFC's example of version 7 has its time in the first 48 bits")
    func exampleTime() {
        // RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, made at 0x17F22E279B0 milliseconds.
        #expect(UUIDText.timeOrdered(milliseconds: 0x17F_22E2_79B0).hasPrefix("017f22e2-79b0-7"))
        let bytes: [UInt8] = [
            0x01, 0x7F, 0x22, 0xE2, 0x79, 0xB0, 0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F,
        ]
        #expect(UUIDText.text(bytes, version: 7) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    }

    @Test("an id of a later millisecond sorts after one of an earlier")
    func ordering() {
        let ids = (0..<300).map { UUIDText.timeOrdered(milliseconds: 1_700_000_000_000 + 37 * $0) }
        #expect(ids == ids.sorted())
    }
}
