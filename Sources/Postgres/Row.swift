internal import CPostgres
import Glibc

/// The answer to one statement, shared by its rows and freed with the last of them.
///
/// `@unchecked Sendable`: libpq never changes a finished result, and reading one from several threads is allowed.
final class ResultSet: @unchecked Sendable {
    private let raw: OpaquePointer

    /// Takes ownership of a finished `PGresult`.
    init(_ raw: OpaquePointer) {
        self.raw = raw
    }

    deinit {
        PQclear(self.raw)
    }

    var rows: [Row] {
        let count = Int(PQntuples(self.raw))
        return (0..<count).map { Row(set: self, index: Int32($0)) }
    }

    /// What the server says it did, such as `UPDATE 3` or `COMMIT`.
    var commandTag: String {
        PQcmdStatus(self.raw).map { String(cString: $0) } ?? ""
    }

    /// Rows that the statement inserted, changed, deleted or returned.
    var affectedRows: Int {
        PQcmdTuples(self.raw).flatMap { Int(String(cString: $0)) } ?? 0
    }

    var columnNames: [String] {
        (0..<PQnfields(self.raw)).map { String(cString: PQfname(self.raw, $0)) }
    }

    /// The position of a column. Compares bytes against libpq's own table: for the widths of real statements that is
    /// quicker than hashing, and nothing is built per result.
    func position(of column: String) -> Int32? {
        column.withCString { name in
            (0..<PQnfields(self.raw)).first { strcmp(PQfname(self.raw, $0), name) == 0 }
        }
    }

    /// Calls `body` with a cell's bytes, nil for NULL.
    func withCell<Value>(
        row: Int32,
        column: Int32,
        _ body: (UnsafeRawBufferPointer?) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        guard PQgetisnull(self.raw, row, column) == 0 else { return try body(nil) }
        let length = Int(PQgetlength(self.raw, row, column))
        return try body(UnsafeRawBufferPointer(start: PQgetvalue(self.raw, row, column), count: length))
    }
}

/// One row of an answer.
package struct Row: Sendable {
    let set: ResultSet
    let index: Int32

    /// The value of a column. Throws `decoding` when there is no such column or its text is not a `T`.
    package func get<T: PostgresDecodable>(_ column: String, as: T.Type = T.self) throws(PostgresError) -> T {
        guard let position = self.set.position(of: column) else {
            let names = self.set.columnNames.joined(separator: ", ")
            throw PostgresError(.decoding, "the answer has no column \(column), only \(names)")
        }
        return try self.set.withCell(row: self.index, column: position) { bytes throws(PostgresError) in
            try T.decode(PostgresCell(bytes: bytes, column: column))
        }
    }
}

/// One value of an answer, valid only while it is being decoded.
package struct PostgresCell {
    /// The text form, nil for NULL.
    package let bytes: UnsafeRawBufferPointer?
    /// The column's name, for messages.
    package let column: String

    /// The bytes of a value that must not be NULL.
    package func required(_ type: Any.Type) throws(PostgresError) -> UnsafeRawBufferPointer {
        guard let bytes else {
            throw PostgresError(.decoding, "column \(self.column) is NULL where \(type) was asked for")
        }
        return bytes
    }

    /// The error for a value that is not a `type`; names the column, never the value, which may be private.
    package func mismatch(_ type: Any.Type) -> PostgresError {
        PostgresError(.decoding, "column \(self.column) does not hold a value of type \(type)")
    }
}
