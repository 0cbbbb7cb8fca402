@testable import HTTP

/// Raw bytes and what a strict server makes of them. Scalars up to U+00FF stand for the byte of that value.
struct FramingVector: Sendable, CustomStringConvertible {
    enum Verdict: Sendable, Equatable {
        /// Every request is taken and the connection goes on.
        case accept
        /// The last thing on the connection is an error with this status.
        case refuse(Int)
        /// The reader waits for more.
        case incomplete
    }

    let name: String
    /// The section of RFC 9112 that decides.
    let section: String
    let bytes: [UInt8]
    let verdict: Verdict
    /// The requests that come out before the verdict: method, target, body.
    let requests: [String]

    init(_ name: String, section: String, _ text: String, _ verdict: Verdict, _ requests: [String]) {
        self.name = name
        self.section = section
        self.bytes = text.unicodeScalars.map { UInt8($0.value) }
        self.verdict = verdict
        self.requests = requests
    }

    var description: String { "\(self.name) (RFC 9112 section \(self.section))" }

    static let all = Self.accepted + Self.refusedHeads + Self.refusedBodies
}

/// What a reader made of bytes that came in these pieces.
struct Reading: Equatable {
    var heads: [RequestHead] = []
    var requests: [String] = []
    var error: HTTPError?
    /// What the reader waits for, unless it met an error.
    var waitsFor: RequestReader.Stage?

    init(_ pieces: [ArraySlice<UInt8>], limits: ParserLimits = ParserLimits(), bodyLimit: Int = 1 << 20) {
        var reader = RequestReader(limits: limits)
        do throws(HTTPError) {
            for piece in pieces {
                reader.append(piece)
                while let event = try reader.next() {
                    switch event {
                    case .head(let head):
                        _ = try Request(head, peer: "", id: "")
                        try reader.admit(bodyLimit: bodyLimit)
                        self.heads.append(head)
                    case .complete(let body):
                        self.requests.append(Self.describe(self.heads[self.heads.count - 1], body))
                    }
                }
            }
            self.waitsFor = reader.stage
        } catch {
            self.error = error
        }
    }

    var verdict: FramingVector.Verdict {
        if let error { return .refuse(error.status) }
        return self.waitsFor == .idle ? .accept : .incomplete
    }

    private static func describe(_ head: RequestHead, _ body: [UInt8]) -> String {
        "\(head.method) \(head.target)" + (body.isEmpty ? "" : " " + String(decoding: body, as: UTF8.self))
    }
}
