import Postgres
import Testing

@Suite("Values", .timeLimit(.minutes(1)))
struct CodingTests {
    @Test(
        "text comes back byte by byte",
        arguments: ["", "plain", "e\u{301} and \u{e9}", "🂡 家 עברית", #"back\slash " quote ' $1 {}"#, "a\r\nb\t"]
    )
    func text(_ text: String) async throws {
        try await withConnection { connection, _ in
            let rows = try await connection.query("SELECT \(text)::text AS v, octet_length(\(text)::text) AS n")
            #expect(try Array(rows[0].get("v", as: String.self).utf8) == Array(text.utf8))
            #expect(try rows[0].get("n", as: Int.self) == text.utf8.count)
        }
    }

    @Test("numbers, truths and absences come back")
    func scalars() async throws {
        try await withConnection { connection, _ in
            let nothing: String? = nil
            let noBytes: [UInt8]? = nil
            let row = try await connection.query(
                """
                SELECT \(Int64.min)::bigint AS least, \(Int32.max)::int AS most, \(0.1 + 0.2)::float8 AS double,
                    \(true)::bool AS yes, \(false)::bool AS no, \(nothing)::text AS nothing, \(noBytes)::bytea AS no_bytes,
                    \(Double.infinity)::float8 AS endless
                """
            )[0]
            #expect(try row.get("least", as: Int64.self) == .min && row.get("most", as: Int.self) == Int(Int32.max))
            #expect(try row.get("double", as: Double.self) == 0.1 + 0.2)
            #expect(try row.get("endless", as: Double.self) == .infinity)
            #expect(try row.get("yes", as: Bool.self) && !row.get("no", as: Bool.self))
            #expect(try row.get("nothing", as: String?.self) == nil && row.get("no_bytes", as: [UInt8]?.self) == nil)
        }
    }

    @Test("durations are intervals to the microsecond, negative ones too")
    func durations() async throws {
        try await withConnection { connection, _ in
            for (duration, seconds) in [
                (Duration.milliseconds(1500), 1.5), (.microseconds(-250), -0.00025), (.seconds(-3), -3), (.zero, 0),
                (.seconds(90_000), 90_000),
            ] {
                let rows = try await connection.query("SELECT extract(epoch FROM \(duration)::interval)::float8 AS s")
                #expect(try rows[0].get("s", as: Double.self) == seconds)
            }
        }
    }

    @Test("arrays keep quotes, braces, backslashes, empty elements and NULL apart")
    func arrays() async throws {
        let texts = ["", "a,b", #"{"x"}"#, #"\"#, "NULL", "null", " spaced ", "é\n"]
        let gaps: [String?] = ["NULL", nil, "", nil]
        try await withConnection { connection, _ in
            let row = try await connection.query(
                """
                SELECT \(texts)::text[] AS texts, \(gaps)::text[] AS gaps, \([1, -2, 3])::int[] AS ints,
                    \([Int64.max])::bigint[] AS longs, \([true, false])::bool[] AS flags, \([String]())::text[] AS none,
                    (\([[1, 255], [], [92, 34]] as [[UInt8]])::bytea[])[3] AS third
                """
            )[0]
            #expect(try row.get("texts", as: [String].self) == texts)
            #expect(try row.get("gaps", as: [String?].self) == gaps)
            #expect(try row.get("ints", as: [Int].self) == [1, -2, 3])
            #expect(try row.get("longs", as: [Int64].self) == [.max])
            #expect(try row.get("flags", as: [Bool].self) == [true, false])
            #expect(try row.get("none", as: [String].self) == [])
            #expect(try row.get("third", as: [UInt8].self) == [92, 34])
            let error = try await failure { _ = try row.get("gaps", as: [String].self) }
            #expect(error.code == .decoding)
        }
    }

    @Test("a mebibyte of bytea, and none at all, come back")
    func bytea() async throws {
        var random = SystemRandomNumberGenerator()
        let large = (0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &random) }
        try await withConnection { connection, _ in
            for bytes in [large, [], [0], [0, 0, 255]] {
                let rows = try await connection.query("SELECT \(bytes)::bytea AS v, length(\(bytes)::bytea) AS n")
                #expect(try rows[0].get("v", as: [UInt8].self) == bytes)
                #expect(try rows[0].get("n", as: Int.self) == bytes.count)
            }
        }
    }

    @Test("a NUL never reaches the server, in text, in arrays or in the statement")
    func nul() async throws {
        try await withConnection { connection, _ in
            let before = connection.options.roundTrips.value
            for query: Query in [
                "SELECT \("a\0b")::text", "SELECT \(["a\0b"])::text[]", Query(unescaped: "SELECT 1\0"),
            ] {
                let error = try await failure { try await connection.query(query) }
                #expect(error.code == .encoding)
            }
            #expect(connection.options.roundTrips.value == before)
        }
    }

    @Test("a wrong column, a wrong type and an unexpected NULL are told apart by name")
    func decodingErrors() async throws {
        try await withConnection { connection, _ in
            let row = try await connection.query("SELECT 'x' AS letter, NULL AS nothing")[0]
            #expect(try await failure { _ = try row.get("missing", as: Int.self) }.message.contains("letter, nothing"))
            #expect(try await failure { _ = try row.get("letter", as: Int.self) }.message.contains("letter"))
            #expect(try await failure { _ = try row.get("nothing", as: Int.self) }.message.contains("is NULL"))
            #expect(try await failure { _ = try row.get("letter", as: [UInt8].self) }.code == .decoding)
        }
    }

    @Test("an identifier is quoted whatever it holds")
    func identifiers() async throws {
        let name = #"odd " name; --"#
        try await withConnection { connection, _ in
            let row = try await connection.query("SELECT 1 AS \(unescaped: quotedIdentifier(name))")[0]
            #expect(try row.get(name, as: Int.self) == 1)
        }
    }
}
