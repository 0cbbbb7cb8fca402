/// Where the server listens and every bound it keeps.
package struct HTTPConfiguration: Sendable {
    /// An IPv4 or IPv6 literal, or `localhost`, which means 127.0.0.1. Default: 127.0.0.1.
    package var host = "127.0.0.1"
    /// The port; 0 lets the system choose. Default: 0.
    package var port: UInt16 = 0
    /// Bytes of a request line with its header lines; more is 431. Default: 16 KiB.
    package var headerBytes = 16 * 1024
    /// Header lines of one request; more is 431. Default: 100.
    package var headerCount = 100
    /// Bytes of a request body where the route names no limit; more is 413. Default: 1 MiB.
    package var bodyLimit = 1024 * 1024
    /// Bytes of the bodies that are under way on all connections together, each counted as long as it says it will be;
    /// one that does not fit is 503. Default: 256 MiB.
    package var bodyMemory = 256 << 20
    /// From the first byte of a request, or the opening of the connection, to the end of the header; then 408.
    /// Default: 10 s.
    package var headerDeadline = Duration.seconds(10)
    /// From the end of the header to the end of the body; then 408. Default: 30 s, and the time that the bytes received
    /// so far may take at `bodyRate`.
    package var bodyDeadline = Duration.seconds(30)
    /// Bytes per second below which a body that is longer than `bodyDeadline` lasts is given up. Default: 16 KiB/s.
    package var bodyRate = 16 * 1024
    /// How long a connection without a request stays open. Default: 60 s.
    package var keepAlive = Duration.seconds(60)
    /// How long a peer may refuse to take any of the bytes that wait for it. Default: 30 s.
    package var writeStall = Duration.seconds(30)
    /// Bytes that may wait for one peer before a writer is suspended. Default: 256 KiB.
    package var pendingBytes = 256 * 1024
    /// Open connections; one more is answered with 503 and closed. Default: 10,000.
    package var connections = 10_000
    /// How long requests and streams under way may take to end once the server stops. Default: 10 s.
    package var drain = Duration.seconds(10)
    /// When stopping, how long a connection without a request so far may take to begin one.
    package var lastCall = Duration.milliseconds(500)
    /// How long the server, having said its last word, waits for the peer to close first, so that a reset does not
    /// destroy a response on its way. Default: 2 s.
    package var linger = Duration.seconds(2)

    /// The defaults.
    package init() {}

    /// How often deadlines are looked at: often enough to be met within a quarter, rarely enough to cost nothing.
    var tick: Duration {
        let shortest = [
            self.headerDeadline, self.bodyDeadline, self.keepAlive, self.writeStall, self.drain, self.linger,
        ].min()
        return max(.milliseconds(10), min(.milliseconds(250), (shortest ?? .seconds(1)) / 4))
    }

    var limits: ParserLimits {
        ParserLimits(headerBytes: self.headerBytes, headerCount: self.headerCount)
    }
}

/// The bounds that the parser itself keeps.
struct ParserLimits: Sendable {
    var headerBytes = 16 * 1024
    var headerCount = 100
    /// Bytes of all chunk extensions of one body (RFC 9112 section 7.1.1 asks for a bound).
    var extensionBytes = 1024
    /// Bytes of all trailer lines of one body.
    var trailerBytes = 4 * 1024
}
