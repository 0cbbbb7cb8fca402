/// A value as it travels to the server.
package enum PostgresBind: Sendable, Equatable {
    /// NULL.
    case null
    /// The value's text form; the server infers the type.
    case text(String)
    /// A `bytea`, sent in binary: a tenth of the client's work for large values.
    case binary([UInt8])
}

/// A value that can be interpolated into a `Query`.
package protocol PostgresEncodable {
    /// The value as a bind.
    var postgresBind: PostgresBind { get }
}

/// A bind is what it is, so that statements can be put together from the binds of others.
extension PostgresBind: PostgresEncodable {
    package var postgresBind: PostgresBind { self }
}

extension String: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(self) }
}

extension Int: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
}

extension Int32: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
}

extension Int64: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
}

extension Bool: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(self ? "t" : "f") }
}

extension Double: PostgresEncodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
}

/// An interval in seconds with microseconds, the server's resolution: `1.500000 seconds`. Cast it with `::interval`.
extension Duration: PostgresEncodable {
    package var postgresBind: PostgresBind {
        let (seconds, attoseconds) = self.components
        let microseconds = attoseconds / 1_000_000_000_000
        let sign = seconds < 0 || microseconds < 0 ? "-" : ""
        let fraction = String(microseconds.magnitude)
        let padded = String(repeating: "0", count: 6 - fraction.count) + fraction
        return .text("\(sign)\(seconds.magnitude).\(padded) seconds")
    }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    package var postgresBind: PostgresBind { self?.postgresBind ?? .null }
}

/// A type whose arrays can be sent and read. `UInt8` is one, and its arrays are `bytea`.
package protocol PostgresArrayElement: Sendable {
    /// An array of this type as a bind.
    static func bind(for elements: [Self]) -> PostgresBind
}

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    package var postgresBind: PostgresBind { Element.bind(for: self) }
}

extension UInt8: PostgresArrayElement {
    package static func bind(for elements: [UInt8]) -> PostgresBind { .binary(elements) }
}

extension String: PostgresArrayElement {
    package static func bind(for elements: [String]) -> PostgresBind {
        .text(ArrayLiteral.encode(elements))
    }
}

extension Int: PostgresArrayElement {
    package static func bind(for elements: [Int]) -> PostgresBind {
        .text(ArrayLiteral.encode(plain: elements.map(String.init)))
    }
}

extension Int64: PostgresArrayElement {
    package static func bind(for elements: [Int64]) -> PostgresBind {
        .text(ArrayLiteral.encode(plain: elements.map { String($0) }))
    }
}

extension Bool: PostgresArrayElement {
    package static func bind(for elements: [Bool]) -> PostgresBind {
        .text(ArrayLiteral.encode(plain: elements.map { $0 ? "t" : "f" }))
    }
}

extension Optional: PostgresArrayElement where Wrapped == String {
    package static func bind(for elements: [String?]) -> PostgresBind {
        .text(ArrayLiteral.encode(elements))
    }
}

extension Array: PostgresArrayElement where Element == UInt8 {
    package static func bind(for elements: [[UInt8]]) -> PostgresBind {
        .text(ArrayLiteral.encode(elements.map { #"\x"# + Hex.encode($0) }))
    }
}
