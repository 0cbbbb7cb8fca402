import Runtime

/// The sending end of a streamed response.
package final class ResponseWriter: Sendable {
    private let connection: Connection
    private let exchange: Exchange
    private let chunked: Bool

    init(connection: Connection, exchange: Exchange, chunked: Bool) {
        self.connection = connection
        self.exchange = exchange
        self.chunked = chunked
    }

    /// Sends `bytes`, in whole or, when the peer is slow, later: returns at once while fewer bytes wait for the peer than
    /// the server's `pendingBytes`, else when about half of them are gone. Throws `HTTPError.peerGone` when the client has
    /// left or has not taken a byte for `writeStall`, `CancellationError` when the calling task is cancelled while it
    /// waits.
    package func write(_ bytes: consuming [UInt8]) async throws {
        guard !bytes.isEmpty else { return }
        let framed = self.framed(bytes)
        // What a slow peer waits for is held once, by the connection.
        _ = consume bytes
        try await self.connection.write(consume framed, exchange: self.exchange.number)
    }

    /// Calls `body` once when the client leaves or the response has ended: now, if that has happened. It runs on the
    /// server's reactor and must not block. Returns a closure that takes the request back.
    @discardableResult
    package func whenGone(_ body: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        self.exchange.gone.whenRaised(body)
    }

    /// Has `bytes` sent each time that nothing was sent for `interval`, rounded up to the server's timer.
    package func fillSilence(every interval: Duration, with bytes: [UInt8]) {
        let number = self.exchange.number
        self.connection.fillSilence(every: interval, with: self.framed(bytes), exchange: number)
    }

    private func framed(_ bytes: [UInt8]) -> [UInt8] {
        guard self.chunked else { return bytes }
        var chunk: [UInt8] = []
        chunk.reserveCapacity(bytes.count + 20)
        Bytes.appendHex(bytes.count, to: &chunk)
        chunk.append(contentsOf: "\r\n".utf8)
        chunk.append(contentsOf: bytes)
        chunk.append(contentsOf: "\r\n".utf8)
        return chunk
    }
}
