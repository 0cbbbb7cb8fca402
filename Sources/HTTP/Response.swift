/// What a handler answers.
package struct Response: Sendable {
    /// Bytes at hand, or a closure that writes them as they come into being.
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Runs once the header has been sent; the response ends when it returns and breaks off when it throws. Its task
        /// is cancelled when the client leaves.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
    }

    /// The status code, 200 to 599.
    package var status: Int
    /// The fields; the server itself adds Date, framing, `Connection` and `X-Request-Id`.
    package var headers: Headers
    /// The body.
    package var body: Body

    /// A response of its parts.
    package init(status: Int, headers: Headers = Headers(), body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A response with text as its body.
    package init(status: Int = 200, headers: Headers = Headers(), text: String, type: String = "text/plain") {
        self.init(status: status, headers: headers, body: .bytes(Array(text.utf8)))
        self.headers.set("Content-Type", type)
    }
}

/// The status line and header block of a response (RFC 9112 section 4).
struct ResponseHead {
    /// How the end of the body is marked.
    enum Framing: Equatable {
        /// No body and no length: 204, 304.
        case none
        case length(Int)
        case chunked
        /// By closing the connection: a stream for an HTTP/1.0 client.
        case close
    }

    /// Fields that only the server may decide: they are what framing and connection reuse rest on.
    private static let reserved = ["content-length", "transfer-encoding", "connection", "date", "x-request-id"]

    let status: Int
    let headers: Headers
    let framing: Framing
    let date: [UInt8]
    let requestID: String
    /// The `Connection` header: `close`, `keep-alive` for an HTTP/1.0 client that asked for it, or none.
    let connection: String?

    /// Appends the head in wire form. Throws for fields that cannot be sent.
    func serialise(into output: inout [UInt8]) throws(HTTPError) {
        guard (200...599).contains(self.status) else {
            throw HTTPError(.invalidResponse, "\(self.status) is no final status")
        }
        output.append(contentsOf: "HTTP/1.1 \(self.status) \(Self.reason(self.status))\r\nDate: ".utf8)
        output.append(contentsOf: self.date)
        output.append(contentsOf: "\r\n".utf8)
        var headers = self.headers
        for name in Self.reserved where headers[name] != nil { headers.remove(name) }
        headers.add("X-Request-Id", self.requestID)
        if let connection = self.connection { headers.add("Connection", connection) }
        switch self.framing {
        case .none, .close: break
        case .length(let length): headers.add("Content-Length", String(length))
        case .chunked: headers.add("Transfer-Encoding", "chunked")
        }
        try headers.serialise(into: &output)
        output.append(contentsOf: "\r\n".utf8)
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: ""
        }
    }
}
