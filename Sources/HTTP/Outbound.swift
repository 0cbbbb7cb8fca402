import Glibc

/// What waits to be sent on one connection, and who waits for that: a value behind the connection's lock.
struct Outbound {
    /// A writer that waits for room.
    typealias Waiter = CheckedContinuation<Void, any Error>

    private var pending: [UInt8] = []
    private var offset = 0
    /// When bytes last left, or began to wait.
    private(set) var lastMove = ContinuousClock.now
    /// The number of the exchange whose bytes may be sent; a writer of an earlier one is too late.
    var exchange = 0
    var isClosed = false
    /// The task that makes the response under way.
    var task: Task<Void, Never>?
    /// What to send when nothing else was for a while.
    var silence: (interval: Duration, bytes: [UInt8])?
    var waiters: [Int: Waiter] = [:]
    var lastWaiter = 0

    /// Bytes that wait.
    var count: Int { self.pending.count - self.offset }

    /// Sends `bytes` after what waits already, as much as the socket takes; the rest waits. Returns the errno of a broken
    /// connection.
    mutating func send(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
        guard self.count == 0 else {
            self.pending.append(contentsOf: bytes)
            return nil
        }
        self.lastMove = .now
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(descriptor, raw.baseAddress?.advanced(by: sent), raw.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                guard errno == EAGAIN || errno == EWOULDBLOCK else { return errno }
                self.pending.append(contentsOf: bytes[sent...])
                return nil
            }
            sent += count
        }
        return nil
    }

    /// Sends what waits, as much as the socket takes. Returns the errno of a broken connection.
    mutating func flush(to descriptor: Int32) -> Int32? {
        while self.count > 0 {
            let count = self.pending.withUnsafeBytes { raw in
                Glibc.send(
                    descriptor,
                    raw.baseAddress?.advanced(by: self.offset),
                    raw.count - self.offset,
                    Int32(MSG_NOSIGNAL)
                )
            }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN || errno == EWOULDBLOCK ? nil : errno
            }
            self.offset += count
            self.lastMove = .now
        }
        self.pending = []
        self.offset = 0
        return nil
    }

    /// The waiters, who are no longer waiting.
    mutating func takeWaiters() -> [Waiter] {
        defer { self.waiters = [:] }
        return Array(self.waiters.values)
    }

    /// Sends the filling if nothing was sent for too long. Returns the errno of a broken connection.
    mutating func fillSilence(at now: ContinuousClock.Instant, to descriptor: Int32) -> Int32? {
        guard let silence = self.silence, self.count == 0, now - self.lastMove >= silence.interval else { return nil }
        return self.send(silence.bytes, to: descriptor)
    }
}
