/// A value that can be read from a `Row`.
package protocol PostgresDecodable {
    /// Reads the value from its text form. Throws `decoding` when it is not one.
    static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self
}

extension String: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> String {
        String(decoding: try cell.required(String.self), as: UTF8.self)
    }
}

extension PostgresDecodable where Self: LosslessStringConvertible {
    fileprivate static func parse(_ cell: PostgresCell) throws(PostgresError) -> Self {
        let text = String(decoding: try cell.required(Self.self), as: UTF8.self)
        guard let value = Self(text) else { throw cell.mismatch(Self.self) }
        return value
    }
}

extension Int: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int { try self.parse(cell) }
}

extension Int32: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int32 { try self.parse(cell) }
}

extension Int64: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int64 { try self.parse(cell) }
}

extension Double: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Double { try self.parse(cell) }
}

extension Bool: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Bool {
        let bytes = try cell.required(Bool.self)
        guard bytes.count == 1 else { throw cell.mismatch(Bool.self) }
        switch bytes[0] {
        case UInt8(ascii: "t"): return true
        case UInt8(ascii: "f"): return false
        default: throw cell.mismatch(Bool.self)
        }
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Wrapped? {
        cell.bytes == nil ? nil : try Wrapped.decode(cell)
    }
}

/// A type whose arrays can be read.
package protocol PostgresArrayDecodable {
    /// Reads an array of this type.
    static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self]
}

extension Array: PostgresDecodable where Element: PostgresArrayDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> [Element] {
        try Element.decodeArray(cell)
    }
}

extension UInt8: PostgresArrayDecodable {
    /// A `bytea` in its hexadecimal text form.
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [UInt8] {
        let bytes = try cell.required([UInt8].self)
        guard bytes.count >= 2, bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "x"),
            let value = Hex.decode(UnsafeRawBufferPointer(rebasing: bytes[2...]))
        else { throw cell.mismatch([UInt8].self) }
        return value
    }
}

extension PostgresCell {
    /// The elements of an array without NULLs, each made by `make`.
    fileprivate func elements<T>(_ make: (String) -> T?) throws(PostgresError) -> [T] {
        guard let texts = ArrayLiteral.decode(try self.required([T].self)) else { throw self.mismatch([T].self) }
        var values: [T] = []
        values.reserveCapacity(texts.count)
        for text in texts {
            guard let text, let value = make(text) else { throw self.mismatch([T].self) }
            values.append(value)
        }
        return values
    }
}

extension String: PostgresArrayDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [String] {
        try cell.elements { $0 }
    }
}

extension Int: PostgresArrayDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Int] {
        try cell.elements { Int($0) }
    }
}

extension Int64: PostgresArrayDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Int64] {
        try cell.elements { Int64($0) }
    }
}

extension Bool: PostgresArrayDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Bool] {
        try cell.elements { $0 == "t" ? true : $0 == "f" ? false : nil }
    }
}

extension Optional: PostgresArrayDecodable where Wrapped == String {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [String?] {
        guard let texts = ArrayLiteral.decode(try cell.required([String?].self)) else {
            throw cell.mismatch([String?].self)
        }
        return texts
    }
}
