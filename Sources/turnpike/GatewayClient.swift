import CCurlShim
import Domain
import Foundation
import Runtime

/// The gateway's HTTP API as the commands use it, over libcurl.
///
/// libcurl's easy interface blocks, so each request has a thread of its pool to itself; a command has one or two at a
/// time.
struct GatewayClient: Sendable {
    /// Without a slash at the end.
    let base: String
    let token: String?
    private let pool = BlockingPool(threads: 4)

    /// An answer that was read whole.
    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]

        /// The body as JSON; an empty object when there is none, null when it is none.
        var json: JSONValue {
            self.body.isEmpty ? [:] : (try? JSONDecoder().decode(JSONValue.self, from: Data(self.body))) ?? .null
        }
    }

    /// A request. `path` is what follows the base.
    struct Call: Sendable {
        var method = "GET"
        var path: String
        var body: JSONValue?
        var headers: [String] = []
    }

    init(base: String, token: String?) {
        self.base = base
        self.token = token
    }

    /// Performs `call` and reads the whole answer. Throws a failure that says what the gateway said when the status is
    /// no success, and one with `unreachable` when there was no answer.
    func perform(_ call: Call, withinSeconds limit: Int = 60) async throws -> JSONValue {
        try await self.answer(call, withinSeconds: limit).json
    }

    /// The same for what is no JSON, of so many bytes at most.
    func bytes(_ call: Call, withinSeconds limit: Int, atMost largest: Int = .max) async throws -> [UInt8] {
        try await self.answer(call, withinSeconds: limit, atMost: largest).body
    }

    private func answer(_ call: Call, withinSeconds limit: Int, atMost largest: Int = .max) async throws -> Answer {
        let body = Locked<[UInt8]>([])
        let status = try await self.transfer(call, totalMilliseconds: limit * 1_000, silenceSeconds: 0) { _, bytes in
            body.withLock { body in
                body += bytes
                return body.count <= largest
            }
        }
        let answer = Answer(status: status, body: body.withLock { $0 })
        guard answer.body.count <= largest else {
            throw CommandFailure(.failure, "the answer of \(self.base) is longer than \(largest) bytes")
        }
        guard (200..<300).contains(status) else { throw self.failure(answer) }
        return answer
    }

    /// How a stream ended.
    enum StreamEnd: Sendable, Hashable {
        /// The receiver had enough, or the gateway closed it in order.
        case ended
        /// The connection was lost.
        case lost(String)
    }

    /// Performs `call` and gives each event to `receive`, on a thread of its own, until it returns false. Throws as
    /// `perform` does, except for a connection that is lost.
    func stream(
        _ call: Call,
        receive: @escaping @Sendable (StreamedEvent) -> Bool
    ) async throws -> StreamEnd {
        struct State {
            var parser = EventStreamParser()
            var refusal: [UInt8] = []
        }
        let state = Locked(State())
        var streamed = call
        streamed.headers.append("Accept: text/event-stream")
        let status: Int
        do {
            // The gateway sends a comment at least every 15 s.
            status = try await self.transfer(streamed, totalMilliseconds: 0, silenceSeconds: 45) { status, bytes in
                guard (200..<300).contains(status) else {
                    state.withLock { $0.refusal += bytes }
                    return true
                }
                return state.withLock { $0.parser.take(bytes) }.allSatisfy(receive)
            }
        } catch let failure as CommandFailure where failure.exit == .unreachable {
            return .lost(failure.message)
        }
        guard (200..<300).contains(status) else {
            throw self.failure(Answer(status: status, body: state.withLock { $0.refusal }))
        }
        return .ended
    }

    // MARK: - libcurl

    private final class Callbacks: Sendable {
        let body: @Sendable (Int, [UInt8]) -> Bool

        init(body: @escaping @Sendable (Int, [UInt8]) -> Bool) {
            self.body = body
        }
    }

    /// Returns the status.
    private func transfer(
        _ call: Call,
        totalMilliseconds: Int,
        silenceSeconds: Int,
        body: @escaping @Sendable (Int, [UInt8]) -> Bool
    ) async throws -> Int {
        let callbacks = Callbacks(body: body)
        let payload = try call.body.map { Array(try JSONEncoder().encode($0)) }
        var headers = call.headers
        if let token = self.token { headers.append("Authorization: Bearer \(token)") }
        if payload != nil { headers.append("Content-Type: application/json") }
        // libcurl would ask before it sends more than 1 MB; the gateway does not need to be asked.
        headers.append("Expect:")
        let (url, method, base) = (self.base + call.path, call.method, self.base)
        return try await self.pool.run { [headers] in
            let result = Self.perform(
                method,
                url,
                headers,
                payload,
                callbacks,
                totalMilliseconds: totalMilliseconds,
                silenceSeconds: silenceSeconds
            )
            guard result.code != 0, result.stopped == 0 else { return Int(result.status) }
            let message = withUnsafeBytes(of: result.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            throw CommandFailure(
                .unreachable,
                "the gateway at \(base) does not answer: \(message)",
                remedy: "Is it running? Start one with \"turnpike dev\", or name another with --url."
            )
        }
    }

    private static func perform(
        _ method: String,
        _ url: String,
        _ headers: [String],
        _ payload: [UInt8]?,
        _ callbacks: Callbacks,
        totalMilliseconds: Int,
        silenceSeconds: Int
    ) -> ccs_result {
        let copies = headers.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let pointers: [UnsafePointer<CChar>?] = copies.map { UnsafePointer($0) } + [nil]
        var result = ccs_result()
        let isLoopback = ["://127.", "://localhost", "://[::1]"].contains { url.contains($0) }
        method.withCString { method in
            url.withCString { url in
                pointers.withUnsafeBufferPointer { headers in
                    (payload ?? []).withUnsafeBytes { payloadBytes in
                        var request = ccs_request()
                        request.method = method
                        request.url = url
                        request.headers = headers.baseAddress
                        if payload != nil { request.body = payloadBytes.bindMemory(to: CChar.self).baseAddress }
                        request.body_count = payloadBytes.count
                        request.connect_milliseconds = 5_000
                        request.total_milliseconds = totalMilliseconds
                        request.silence_seconds = silenceSeconds
                        request.direct = isLoopback ? 1 : 0
                        request.context = Unmanaged.passUnretained(callbacks).toOpaque()
                        request.on_body = { context, status, bytes, count in
                            guard let context, let bytes else { return 1 }
                            let callbacks = Unmanaged<Callbacks>.fromOpaque(context).takeUnretainedValue()
                            let raw = UnsafeRawBufferPointer(start: bytes, count: count)
                            return callbacks.body(status, Array(raw)) ? 0 : 1
                        }
                        withExtendedLifetime(callbacks) { ccs_perform(&request, &result) }
                    }
                }
            }
        }
        return result
    }

    // MARK: - Refusals

    /// The gateway's `{"error":{…}}` as one failure with a remedy.
    private func failure(_ answer: Answer) -> CommandFailure {
        let error = answer.json["error"]
        let code = error?["code"]?.text ?? error?["type"]?.text
        let message = error?["message"]?.text ?? "the gateway answered \(answer.status)"
        let text = ChatRenderer.printable(code.map { "\(message) (\($0))" } ?? message)
        switch answer.status {
        case 401:
            let remedy = "Give a token with --token or TURNPIKE_TOKEN; \"turnpike dev\" prints one."
            return CommandFailure(.failure, text, remedy: remedy)
        case 403:
            return CommandFailure(.failure, text, remedy: "The token lacks a scope; see: turnpike help token create")
        case 502, 503, 504:
            return CommandFailure(.unreachable, text, remedy: "Try again in a moment.")
        default:
            return CommandFailure(.failure, text)
        }
    }
}

extension GatewayClient {
    /// A path segment: everything but unreserved characters escaped.
    static func segment(_ text: String) -> String {
        let allowed = CharacterSet(
            charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:"
        )
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
    }
}
