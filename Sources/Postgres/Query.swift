import Glibc

/// One SQL statement whose interpolated values are sent as binds, never as text of the statement.
///
///     let query: Query = "SELECT name FROM users WHERE id = \(id)::uuid"
///
/// The server infers the types of binds, so write a cast where the context does not give one.
package struct Query: ExpressibleByStringInterpolation, Sendable {
    /// The statement with `$1`, `$2` and so on in place of values.
    package let sql: String
    /// The values, in order.
    package let binds: [PostgresBind]

    /// A statement without values.
    package init(stringLiteral value: String) {
        self.sql = value
        self.binds = []
    }

    /// The statement that an interpolated literal describes.
    package init(stringInterpolation: StringInterpolation) {
        self.sql = stringInterpolation.sql
        self.binds = stringInterpolation.binds
    }

    /// A statement taken as it is. Only for text that no outsider has had a hand in.
    package init(unescaped sql: String, binds: [any PostgresEncodable] = []) {
        self.sql = sql
        self.binds = binds.map(\.postgresBind)
    }

    /// Collects the pieces of an interpolated literal.
    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var sql = ""
        fileprivate var binds: [PostgresBind] = []

        /// Prepares for a literal of about this size.
        package init(literalCapacity: Int, interpolationCount: Int) {
            self.sql.reserveCapacity(literalCapacity + interpolationCount * 3)
            self.binds.reserveCapacity(interpolationCount)
        }

        /// Appends text of the statement.
        package mutating func appendLiteral(_ literal: String) {
            self.sql += literal
        }

        /// Appends a value as the next bind.
        package mutating func appendInterpolation(_ value: some PostgresEncodable) {
            self.binds.append(value.postgresBind)
            self.sql += "$"
            self.sql += String(self.binds.count)
        }

        /// Appends a value that may be missing as the next bind; missing is NULL.
        package mutating func appendInterpolation(_ value: (some PostgresEncodable)?) {
            self.binds.append(value.postgresBind)
            self.sql += "$"
            self.sql += String(self.binds.count)
        }

        /// Appends text as it is: identifiers and fragments that no outsider has had a hand in.
        package mutating func appendInterpolation(unescaped text: String) {
            self.sql += text
        }
    }

    /// The beginning of the statement on one line, for errors and logs.
    var summary: String {
        Query.summary(of: self.sql)
    }

    static func summary(of sql: String) -> String {
        sql.prefix(200).split(whereSeparator: \.isWhitespace).joined(separator: " ").prefix(80).description
    }

    /// By memchr: every statement is looked at each time it is sent.
    private static func holdsNUL(_ text: String) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { bytes in
            bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false
        } ?? text.utf8.contains(0)
    }

    /// Throws `encoding` when a text holds a NUL: libpq takes C strings and would silently send less than was meant.
    func validate() throws(PostgresError) {
        guard !Self.holdsNUL(self.sql) else {
            throw PostgresError(.encoding, "the statement contains a NUL", statement: self.summary)
        }
        for (index, bind) in self.binds.enumerated() {
            if case .text(let text) = bind, Self.holdsNUL(text) {
                let message = "the text of bind $\(index + 1) contains a NUL, which PostgreSQL cannot store"
                throw PostgresError(.encoding, message, statement: self.summary)
            }
        }
    }
}

/// A quoted SQL identifier: any name, safe in the text of a statement.
package func quotedIdentifier(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}
