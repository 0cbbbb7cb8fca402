import Glibc

/// Bytes read from a child and not yet asked for, cut into pieces on demand. A value: it reads nothing itself.
struct OutputBuffer {
    /// What `next` found.
    enum Piece {
        case output(ChildProcess.Output)
        /// Nothing whole is there; more may come.
        case starved
        /// Nothing is there and nothing will come.
        case ended
        /// The line at the front is longer than its bound.
        case tooLong
    }

    /// How much is held beyond the one line that may be under way, in bytes.
    static let capacity = 256 * 1024

    private let mode: Command.OutputMode
    private var bytes: [UInt8] = []
    /// Where the first byte not yet handed out is.
    private var start = 0
    /// Up to where it is known that there is no newline.
    private var scanned = 0
    private var isEnded = false
    private var isBroken = false

    init(_ mode: Command.OutputMode) {
        self.mode = mode
    }

    /// How many more bytes fit; reading pauses at 0.
    var room: Int {
        let line =
            switch self.mode {
            case .lines(let maximum): maximum + 1
            case .bytes: 0
            }
        return self.isBroken || self.isEnded ? 0 : max(0, Self.capacity + line - self.count)
    }

    private var count: Int { self.bytes.count - self.start }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        guard !self.isBroken else { return }
        // Moved to the front only once half is used up, so that each byte moves once at most.
        if self.start > self.bytes.count / 2 { self.compact() }
        self.bytes.append(contentsOf: more)
    }

    /// No more will be appended.
    mutating func end() {
        self.isEnded = true
    }

    mutating func next() -> Piece {
        if self.isBroken { return .tooLong }
        switch self.mode {
        case .bytes: return self.nextBytes()
        case .lines(let maximum): return self.nextLine(maximum)
        }
    }

    private mutating func nextBytes() -> Piece {
        guard self.count > 0 else { return self.isEnded ? .ended : .starved }
        return .output(.bytes(self.take(self.count, skipping: 0)))
    }

    private mutating func nextLine(_ maximum: Int) -> Piece {
        if let newline = self.newline() {
            let length = newline - self.start
            return length > maximum ? self.refuse() : .output(.line(self.take(length, skipping: 1)))
        }
        if self.count > maximum { return self.refuse() }
        guard self.isEnded else { return .starved }
        return self.count == 0 ? .ended : .output(.line(self.take(self.count, skipping: 0)))
    }

    private mutating func newline() -> Int? {
        let from = max(self.scanned, self.start)
        let found = self.bytes.withUnsafeBytes { raw -> Int? in
            guard let base = raw.baseAddress, from < raw.count else { return nil }
            guard let hit = memchr(base + from, 0x0a, raw.count - from) else { return nil }
            return UnsafeRawPointer(hit) - base
        }
        self.scanned = found ?? self.bytes.count
        return found
    }

    private mutating func take(_ length: Int, skipping separator: Int) -> [UInt8] {
        let piece = Array(self.bytes[self.start..<(self.start + length)])
        self.start += length + separator
        if self.start == self.bytes.count { self.compact() }
        return piece
    }

    private mutating func compact() {
        self.bytes.removeFirst(self.start)
        self.scanned = max(0, self.scanned - self.start)
        self.start = 0
    }

    private mutating func refuse() -> Piece {
        self.isBroken = true
        self.bytes = []
        self.start = 0
        self.scanned = 0
        return .tooLong
    }
}

/// The last bytes of a stream that nobody reads as it comes.
struct Tail {
    private let capacity: Int
    private var bytes: [UInt8] = []
    /// How much went through in all.
    private(set) var total = 0

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// The last bytes, `capacity` of them at most.
    var last: [UInt8] { Array(self.bytes.suffix(self.capacity)) }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        self.total += more.count
        self.bytes.append(contentsOf: more)
        // Trimmed at twice the size, so that each byte moves once at most.
        if self.bytes.count > 2 * self.capacity { self.bytes.removeFirst(self.bytes.count - self.capacity) }
    }
}
