internal import Foundation
internal import Runtime

/// Threads for what blocks in tests: the pool of tasks is small.
private let blocking = BlockingPool(threads: 96)

/// Sends one request over a fresh connection and reads the answer to its end.
package struct HTTPClient: Sendable {
    /// Where, on the loopback interface.
    package let port: Int
    /// The bearer token.
    package var token: String?

    package init(port: Int, token: String? = nil) {
        self.port = port
        self.token = token
    }

    /// How long an answer may take altogether.
    private static let patience: Duration = .seconds(90)

    /// `enough`, given the body's text so far, ends the reading of an answer that would not end by itself.
    package func send(
        _ method: String,
        _ target: String,
        _ body: String? = nil,
        headers: [String: String] = [:],
        enough: (@Sendable (String) -> Bool)? = nil
    ) async throws -> Answer {
        var head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        if let token { head += "Authorization: Bearer \(token)\r\n" }
        if body != nil, headers["Content-Type"] == nil { head += "Content-Type: application/json\r\n" }
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.utf8.count)\r\n" }
        return try await self.raw(Array((head + "\r\n" + (body ?? "")).utf8), enough: enough)
    }

    /// Sends bytes as they are.
    package func raw(_ bytes: [UInt8], enough: (@Sendable (String) -> Bool)? = nil) async throws -> Answer {
        /// Where, on the loopback interface.
        let port = self.port
        return try Self.parse(try await blocking.run { try Self.exchange(port, bytes, enough) })
    }

    private static func exchange(
        _ port: Int,
        _ bytes: [UInt8],
        _ enough: (@Sendable (String) -> Bool)?
    ) throws -> [UInt8] {
        let descriptor = try LocalSocket.connect(port: port)
        defer { close(descriptor) }
        var patience = timeval(tv_sec: 90, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(descriptor, raw.baseAddress?.advanced(by: sent), raw.count - sent, Int32(MSG_NOSIGNAL))
            }
            // A refused body's sender is cut off; the answer may be there all the same.
            if count <= 0 { break }
            sent += count
        }
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        // Comments keep a stream alive for ever.
        let deadline = ContinuousClock.now + self.patience
        while ContinuousClock.now < deadline {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { break }
            received += buffer[..<count]
            if let enough, let answer = try? self.parse(received), enough(answer.text) { break }
        }
        return received
    }

    /// The connection ended before a whole head had come.
    package struct NoAnswer: Error {
        /// What had come.
        package let received: String
    }

    private static func parse(_ bytes: [UInt8]) throws -> Answer {
        let end = Array("\r\n\r\n".utf8)
        guard let split = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
            throw NoAnswer(received: String(decoding: bytes, as: UTF8.self))
        }
        let lines = String(decoding: bytes[..<split], as: UTF8.self).components(separatedBy: "\r\n")
        guard let status = lines[0].split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw NoAnswer(received: lines[0])
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
            if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].dropFirst()) }
        }
        var body = Array(bytes[(split + 4)...])
        if headers["transfer-encoding"] == "chunked" { body = Self.unchunk(body) }
        return Answer(status: status, headers: headers, body: body)
    }

    /// The data of the chunks, as far as they are there.
    private static func unchunk(_ bytes: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0d) {
            guard let length = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16), length > 0 else { break }
            let data = rest[end...].dropFirst(2)
            body += data.prefix(length)
            rest = data.dropFirst(length + 2)
        }
        return body
    }
}
