internal import CPostgres

extension PostgresBind {
    private static let byteaType: Oid = 17

    /// The type to name to the server; 0 lets it infer one.
    var type: Oid {
        if case .binary = self { Self.byteaType } else { 0 }
    }
}

extension [PostgresBind] {
    /// Calls `body` with the arrays that libpq's send functions take: count, types, values, lengths, formats.
    func withParameters<Value>(
        _ body: (
            Int32, UnsafePointer<Oid>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?,
            UnsafePointer<Int32>?
        ) -> Value
    ) -> Value {
        guard !self.isEmpty else { return body(0, nil, nil, nil, nil) }
        var arena: [UInt8] = []
        var offsets: [Int] = []
        for bind in self {
            offsets.append(arena.count)
            switch bind {
            case .null:
                break
            case .text(let text):
                arena.append(contentsOf: text.utf8)
                arena.append(0)
            case .binary(let bytes):
                arena.append(contentsOf: bytes)
                // An empty value still needs an address, or it would be NULL.
                arena.append(0)
            }
        }
        let types = self.map(\.type)
        let lengths = self.map { bind -> Int32 in
            if case .binary(let bytes) = bind { Int32(bytes.count) } else { 0 }
        }
        let formats = self.map { bind -> Int32 in
            if case .binary = bind { 1 } else { 0 }
        }
        return arena.withUnsafeBytes { arena in
            let start = arena.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = zip(self, offsets).map { bind, offset in bind == .null ? nil : start.map { $0 + offset } }
            return body(Int32(self.count), types, values, lengths, formats)
        }
    }
}
