/// A failure that knows its status: what went wrong, in a word for programs and a sentence for people.
package struct HTTPError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, for programs.
    package enum Code: String, Sendable, CaseIterable {
        case badRequest = "bad_request"
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case requestTimeout = "request_timeout"
        case contentTooLarge = "content_too_large"
        case expectationFailed = "expectation_failed"
        case headersTooLarge = "headers_too_large"
        case notImplemented = "not_implemented"
        case unavailable = "unavailable"
        case versionNotSupported = "version_not_supported"
        /// The client left; nobody receives this.
        case peerGone = "peer_gone"
        /// A response that cannot be put on the wire.
        case invalidResponse = "invalid_response"
        /// An event whose id or name holds a line end or a NUL.
        case invalidEvent = "invalid_event"
        /// The server could not listen.
        case listenFailed = "listen_failed"

        /// The status code that a response with this error carries (RFC 9110 section 15).
        package var status: Int {
            switch self {
            case .badRequest: 400
            case .notFound: 404
            case .methodNotAllowed: 405
            case .requestTimeout: 408
            case .contentTooLarge: 413
            case .expectationFailed: 417
            case .headersTooLarge: 431
            case .peerGone: 499
            case .invalidResponse, .invalidEvent, .listenFailed: 500
            case .notImplemented: 501
            case .unavailable: 503
            case .versionNotSupported: 505
            }
        }
    }

    /// What went wrong, for programs.
    package let code: Code
    /// What went wrong, in a sentence. Holds no secret: it may be sent to the client.
    package let message: String
    /// Fields that the response must carry, as `Allow` with 405. The server adds them to whatever was rendered.
    package let headers: Headers
    /// What caused it, if it was another error.
    package let cause: (any Error)?

    /// An error with the status of its code.
    package init(_ code: Code, _ message: String, headers: Headers = [:], cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.headers = headers
        self.cause = cause
    }

    /// The status of the response.
    package var status: Int { self.code.status }

    /// The client closed, reset or stopped reading its connection, or the server is ending it.
    package static let peerGone = HTTPError(.peerGone, "the client is gone")

    /// A malformed or ambiguous request.
    package static func badRequest(_ message: String) -> HTTPError {
        HTTPError(.badRequest, message)
    }

    package var description: String {
        let cause = self.cause.map { ": \($0)" } ?? ""
        return "\(self.code.rawValue): \(self.message)\(cause)"
    }
}

extension HTTPError: Equatable {
    package static func == (left: HTTPError, right: HTTPError) -> Bool {
        left.code == right.code && left.message == right.message && left.headers == right.headers
    }
}
