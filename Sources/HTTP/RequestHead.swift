/// How the end of a request's body is found (RFC 9112 section 6.3).
enum BodyFraming: Sendable, Equatable {
    case none
    case length(Int)
    case chunked
}

/// A request line and its header lines, checked.
struct RequestHead: Sendable, Equatable {
    var method: String
    /// The request target as sent.
    var target: String
    /// The path as sent, without the query; `*` for the asterisk form.
    var path: String
    /// The query as sent, without its question mark.
    var query: String?
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    var minorVersion: Int
    var headers: Headers
    var framing: BodyFraming
    /// Whether the client wants to use the connection again (RFC 9112 section 9.3).
    var keepsAlive: Bool
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    var expectsContinue: Bool
}
