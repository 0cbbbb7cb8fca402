import Domain
import Glibc
import Runtime

@testable import API

/// Threads for what blocks in these tests: the pool of tasks is small, and the server needs it.
private let blocking = BlockingPool(threads: 8)

/// An answer as it came.
struct Answer: Sendable {
    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: self.body, as: UTF8.self) }

    /// The body as JSON; throws when it is none.
    func json() throws -> JSONValue {
        try JSONReader.read(self.body)
    }

    /// The code of an error.
    var code: String? { (try? self.json())?["error"]?["code"]?.text }

    /// The `id`, `event` and `data` of each event of a stream, comments left out.
    var events: [(id: String, type: String, data: JSONValue)] {
        self.text.components(separatedBy: "\n\n").compactMap { frame in
            var fields: [String: String] = [:]
            for line in frame.split(separator: "\n") where !line.hasPrefix(":") {
                let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
                if parts.count == 2 { fields[parts[0]] = String(parts[1].dropFirst()) }
            }
            guard let id = fields["id"], let type = fields["event"], let data = fields["data"] else { return nil }
            guard let json = try? JSONReader.read(Array(data.utf8)) else { return nil }
            return (id, type, json)
        }
    }
}

/// Sends one request over a fresh connection and reads the answer to its end.
struct Probe: Sendable {
    let port: Int
    var token: String?

    /// `enough`, given the text so far, ends the reading of an answer that would not end by itself.
    func send(
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
        return try await self.raw(head + "\r\n" + (body ?? ""), enough: enough)
    }

    /// Sends `text` as it is.
    func raw(_ text: String, enough: (@Sendable (String) -> Bool)? = nil) async throws -> Answer {
        let port = self.port
        let bytes = try await blocking.run { try Self.exchange(port, Array(text.utf8), enough) }
        return try Self.parse(bytes)
    }

    /// Sends `text` as it is and returns what comes back as it is, until the other side closes or `enough` says so.
    func bytes(_ text: String, enough: @escaping @Sendable (String) -> Bool) async throws -> String {
        let port = self.port
        let bytes = try await blocking.run { try Self.exchange(port, Array(text.utf8), enough) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func exchange(
        _ port: Int,
        _ bytes: [UInt8],
        _ enough: (@Sendable (String) -> Bool)?
    ) throws -> [UInt8] {
        let descriptor = try SystemError.check("socket", socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try SystemError.check("connect", connected)
        var patience = timeval(tv_sec: 20, tv_usec: 0)
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
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { return received }
            received += buffer[..<count]
            if let enough, enough(String(decoding: received, as: UTF8.self)) { return received }
        }
    }

    private struct NoAnswer: Error {
        let received: String
    }

    private static func parse(_ bytes: [UInt8]) throws -> Answer {
        let end = Array("\r\n\r\n".utf8)
        guard let split = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
            throw NoAnswer(received: String(decoding: bytes, as: UTF8.self))
        }
        let lines = String(decoding: bytes[..<split], as: UTF8.self).components(separatedBy: "\r\n")
        let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) }
        guard let status else { throw NoAnswer(received: lines[0]) }
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

extension String {
    fileprivate func components(separatedBy separator: String) -> [String] {
        self.split(separator: separator, omittingEmptySubsequences: false).map(String.init)
    }
}
