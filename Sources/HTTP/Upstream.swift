package import Runtime

/// A request to another server, whose answer is streamed.
package struct UpstreamRequest: Sendable {
    /// The method.
    package var method: String
    /// `http` or `https`.
    package var url: String
    /// The header lines; the client itself adds Host and framing.
    package var headers: Headers
    /// The body; nil for none.
    package var body: [UInt8]?
    /// A file of certificates to trust in place of the system's.
    package var certificates: String?
    /// From the beginning to a connection. Default: 10 s.
    package var connectTime = Duration.seconds(10)
    /// From the beginning to the end of the answer's head. Default: 60 s.
    package var headTime = Duration.seconds(60)
    /// Between two pieces of the answer's body, while somebody wants more. Default: 60 s.
    package var silence = Duration.seconds(60)
    /// Raised when the answer is not wanted any more, begun or not.
    package var stop: StopSignal?

    package init(method: String, url: String, headers: Headers = Headers(), body: [UInt8]? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// Why there is no answer, or no more of it.
package struct UpstreamError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong, for programs.
    package enum Code: String, Sendable, Hashable {
        /// No connection: an unknown name, nobody who listens.
        case unreachable
        /// The other side could not prove who it is.
        case untrusted
        /// It took longer than asked for.
        case late
        /// The answer ended before its end, or is none.
        case broken
        /// Nobody wants it any more.
        case cancelled
    }

    /// What went wrong, for programs.
    package let code: Code
    /// What went wrong, in a sentence.
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { self.message }

    /// What libcurl's code means.
    init(curl: Int32, _ message: String) {
        switch curl {
        case 5, 6, 7: self.init(.unreachable, message)
        case 28: self.init(.late, message)
        case 35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91: self.init(.untrusted, message)
        default: self.init(.broken, message)
        }
    }
}

/// The head of an answer, and what comes after it.
package struct UpstreamResponse: Sendable {
    /// The status.
    package let status: Int
    /// The header lines.
    package let headers: Headers
    private let transfer: UpstreamTransfer

    init(status: Int, headers: Headers, transfer: UpstreamTransfer) {
        self.status = status
        self.headers = headers
        self.transfer = transfer
    }

    /// The next bytes of the body, as soon as there are any; nil at its end. One caller at a time. What nobody asks for
    /// is not read either, past 256 KiB.
    package func next() async throws -> [UInt8]? {
        try await self.transfer.next()
    }

    /// Gives up what has not come yet. Harmless when repeated, and at the end.
    package func cancel() {
        self.transfer.fail(UpstreamError(.cancelled, "the answer is not wanted any more"))
    }
}
