import Testing

@testable import turnpike_drill

@Suite struct ScannerTests {
    private func message(_ type: Character, _ body: String) -> [UInt8] {
        let bytes = Array(body.utf8)
        return [type.asciiValue ?? 0] + self.length(bytes.count + 4) + bytes
    }

    private func length(_ count: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) }
    }

    /// A start-up message, a prepared write, and a prepared question.
    private func conversation() -> [UInt8] {
        var bytes = self.length(9) + [0, 3, 0, 0, 0]
        bytes += self.message("P", "w\0UPDATE t SET a = 1\0\0\0") + self.message("S", "")
        bytes += self.message("P", "q\0SELECT 1\0\0\0") + self.message("B", "\0q\0\0\0\0\0\0\0") + self.message("S", "")
        bytes += self.message("B", "\0w\0\0\0\0\0\0\0") + self.message("E", "\0\0\0\0\0") + self.message("S", "")
        return bytes
    }

    @Test("only a request that executes a statement that writes counts as one that may write, however it is cut up")
    func cutUp() {
        for size in [1, 2, 3, 7, 1_000] {
            var scanner = FrontendScanner()
            var found: [Bool] = []
            let bytes = self.conversation()
            for start in stride(from: 0, to: bytes.count, by: size) {
                found += scanner.feed(bytes[start..<min(start + size, bytes.count)])
            }
            #expect(found == [false, false, true], "in pieces of \(size)")
        }
    }
}
