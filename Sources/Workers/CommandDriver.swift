import Domain

/// Any program: its standard input is the prompt, its standard output the reply, exit 0 means completed. One process a
/// turn.
struct CommandDriver: WorkerDriver {
    let handsOverSnapshots = false
    let report: AgentReport? = nil
    let session: String? = nil
    let isRecalling = false
    let context = WorkerContext.new
    private var decoder = UTF8StreamDecoder()

    init() {}

    mutating func opened() -> [DriverAction] { [.ready] }

    mutating func assigned(_ assignment: DriverAssignment) -> [DriverAction] { [.ready] }

    mutating func prompt(_ prompt: DriverPrompt) -> [DriverAction] {
        // Begun anew it would do again what the calls of its earlier worker have done.
        guard prompt.resumption == nil else {
            return [.declined(.protocolError, "the turn was parked, but a program cannot go on with one")]
        }
        self.decoder = UTF8StreamDecoder()
        return [.send(Array(prompt.turn.input.text.utf8)), .closeInput]
    }

    mutating func received(_ output: [UInt8]) -> [DriverAction] {
        Self.delta(self.decoder.decode(output))
    }

    mutating func answered(_ question: String, _ answer: PermissionAnswer) -> [DriverAction] { [] }

    mutating func noted(_ note: String, _ verdict: CallVerdict) -> [DriverAction] { [] }

    mutating func cancel() -> [DriverAction] { [.interrupt] }

    mutating func ended(_ status: WorkerStatus) -> [DriverAction]? {
        let rest = Self.delta(self.decoder.finish())
        guard status == .exited(0) else {
            return rest + [.failed(.workerExited, "the program \(status)", sure: true)]
        }
        return rest + [.idle(DriverStop(stopReason: "exit_0", usage: nil, snapshot: .none))]
    }

    private static func delta(_ text: String) -> [DriverAction] {
        text.isEmpty ? [] : [.event(.delta(text: text))]
    }
}

/// Decodes UTF-8 that arrives in pieces which may end within a character. Bytes that are no UTF-8, and NUL, which
/// PostgreSQL cannot store, become U+FFFD.
struct UTF8StreamDecoder: Sendable {
    /// The beginning of a character whose rest has not come.
    private var rest: [UInt8] = []

    init() {}

    /// The text that `bytes` completes.
    mutating func decode(_ bytes: [UInt8]) -> String {
        let all = self.rest + bytes
        let whole = all.count - Self.openTail(all)
        self.rest = Array(all[whole...])
        return Self.text(all[..<whole])
    }

    /// What is left at the end of the stream.
    mutating func finish() -> String {
        defer { self.rest = [] }
        return Self.text(self.rest[...])
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        guard bytes.contains(0) else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: bytes.flatMap { $0 == 0 ? Array("\u{FFFD}".utf8) : [$0] }, as: UTF8.self)
    }

    /// How many bytes at the end are a lead byte and fewer continuation bytes than it announces.
    private static func openTail(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let byte = bytes[bytes.count - length]
            if byte & 0xC0 == 0x80 { continue }
            let announced = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return announced > length ? length : 0
        }
        return 0
    }
}
