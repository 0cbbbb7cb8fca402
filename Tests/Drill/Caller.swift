import Domain
import Foundation
import TestKit

/// Why a call brought no whole answer.
enum CallFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Nobody listened: nothing was sent.
    case refused
    /// The connection broke, or nothing came for too long: what became of the request is not known.
    case broken(String)

    static let silent = Self.broken("nothing came")

    var description: String {
        switch self {
        case .refused: "refused"
        case .broken(let what): "broken: \(what)"
        }
    }
}

/// Blocking HTTP/1.1, one connection a request, for clients that have a thread of their own.
struct Caller: Sendable {
    let port: Int
    let token: String
    /// The longest silence within an answer, in seconds.
    var patience = 8

    struct Reply: Sendable {
        let status: Int
        let body: [UInt8]

        var json: JSONValue? {
            do { return try JSONDecoder().decode(JSONValue.self, from: Data(self.body)) } catch { return nil }
        }

        var code: String { self.json?["error"]?["code"]?.text ?? "" }
    }

    /// Sends a request and reads the answer. An answer that is a stream goes to `event`, event by event, until that
    /// returns false; then its status comes back with no body. Throws `CallFailure`.
    func call(
        _ method: String,
        _ target: String,
        _ body: String? = nil,
        headers: [String: String] = [:],
        event: ((StreamedEvent) -> Bool)? = nil
    ) throws(CallFailure) -> Reply {
        let descriptor: Int32
        do { descriptor = try LocalSocket.connect(port: self.port) } catch { throw .refused }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: self.patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        try self.send(method, target, body, headers, to: descriptor)
        var answer = AnswerReader(descriptor: descriptor)
        let head = try answer.head()
        guard head.status == 200, head.isStream, let event else {
            return Reply(status: head.status, body: try answer.body(head))
        }
        var text = ""
        while let chunk = try answer.chunk() {
            text += String(decoding: chunk, as: UTF8.self)
            guard let end = text.range(of: "\n\n", options: .backwards)?.upperBound else { continue }
            let events = StreamedEvent.parse(String(text[..<end]))
            text = String(text[end...])
            if !events.allSatisfy(event) { return Reply(status: 200, body: []) }
        }
        return Reply(status: 200, body: [])
    }

    /// Whether the replica says that it is ready.
    var saysReady: Bool {
        do throws(CallFailure) { return try self.call("GET", "/readyz").status == 200 } catch { return false }
    }

    private func send(
        _ method: String,
        _ target: String,
        _ body: String?,
        _ headers: [String: String],
        to descriptor: Int32
    ) throws(CallFailure) {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: drill\r\nConnection: close\r\n"
        text += "Authorization: Bearer \(self.token)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n" }
        text += "\r\n" + (body ?? "")
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw .broken("while sending") }
            bytes = bytes.dropFirst(count)
        }
    }
}

/// Takes one answer from a socket.
private struct AnswerReader {
    struct Head {
        let status: Int
        let isStream: Bool
        let length: Int?
        let isChunked: Bool
    }

    let descriptor: Int32
    private var bytes: [UInt8] = []

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    mutating func head() throws(CallFailure) -> Head {
        let mark = Array("\r\n\r\n".utf8)
        while true {
            if let end = self.bytes.indices.first(where: { self.bytes[$0...].starts(with: mark) }) {
                let text = String(decoding: self.bytes[..<end], as: UTF8.self)
                self.bytes.removeFirst(end + 4)
                return Self.parse(text)
            }
            guard try self.more() else { throw .broken("before an answer") }
        }
    }

    private static func parse(_ text: String) -> Head {
        let lines = text.lowercased().components(separatedBy: "\r\n")
        func value(_ name: String) -> String? {
            lines.first { $0.hasPrefix("\(name):") }.map { String($0.dropFirst(name.count + 1)).trimmed }
        }
        return Head(
            status: lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0,
            isStream: value("content-type")?.hasPrefix("text/event-stream") ?? false,
            length: value("content-length").flatMap { Int($0) },
            isChunked: value("transfer-encoding") == "chunked"
        )
    }

    mutating func body(_ head: Head) throws(CallFailure) -> [UInt8] {
        if head.isChunked {
            var body: [UInt8] = []
            while let chunk = try self.chunk() { body += chunk }
            return body
        }
        while self.bytes.count < head.length ?? Int.max {
            guard try self.more() else {
                guard head.length == nil else { throw .broken("within an answer") }
                return self.bytes
            }
        }
        return Array(self.bytes.prefix(head.length ?? self.bytes.count))
    }

    /// The next chunk; nil after the last.
    mutating func chunk() throws(CallFailure) -> [UInt8]? {
        while true {
            if let end = self.bytes.firstIndex(of: 0x0a),
                let length = Int(String(decoding: self.bytes[..<end], as: UTF8.self).trimmed, radix: 16),
                self.bytes.count >= end + 1 + length + 2
            {
                let data = Array(self.bytes[(end + 1)..<(end + 1 + length)])
                self.bytes.removeFirst(end + 1 + length + 2)
                return length == 0 ? nil : data
            }
            guard try self.more() else { throw .broken("within a stream") }
        }
    }

    /// Receives more; false at the end.
    private mutating func more() throws(CallFailure) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        let count = recv(self.descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EINTR { return true }
        guard count >= 0 else { throw errno == EAGAIN ? .silent : .broken(String(cString: strerror(errno))) }
        self.bytes += buffer[..<count]
        return count > 0
    }
}

extension String {
    fileprivate var trimmed: String { self.trimmingCharacters(in: .whitespaces.union(.newlines)) }
}
