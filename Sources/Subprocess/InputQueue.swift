/// Bytes on their way to a child's standard input. A value: it writes nothing itself.
struct InputQueue {
    private var bytes: [UInt8] = []
    private var start = 0
    /// Close once everything has been written.
    private(set) var isClosing = false

    /// How many bytes wait.
    var count: Int { self.bytes.count - self.start }

    mutating func append(_ more: [UInt8]) {
        if self.start > self.bytes.count / 2 {
            self.bytes.removeFirst(self.start)
            self.start = 0
        }
        self.bytes.append(contentsOf: more)
    }

    /// The bytes that wait, contiguous.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.start...])) }
    }

    /// The first `count` of them have been written.
    mutating func wrote(_ count: Int) {
        self.start += count
        guard self.start == self.bytes.count else { return }
        self.start = 0
        // A large message must not leave its memory behind.
        self.bytes.removeAll(keepingCapacity: self.bytes.count <= ChildProcess.inputCapacity)
    }

    mutating func close() {
        self.isClosing = true
    }

    mutating func discard() {
        self.bytes = []
        self.start = 0
    }
}
