import Postgres
import Testing

@Suite("An error of the server")
struct ErrorClassTests {
    @Test(
        "that speaks of room, time, write access or a start under way is passing",
        arguments: ["53100", "53200", "53300", "57P03", "57014", "25006"]
    )
    func passing(state: String) {
        #expect(PostgresError(.server, "refused", sqlState: state).isWorthRepeating)
    }

    @Test("that speaks of the request itself is not", arguments: ["23505", "22P02", "25001", "42P01", "42501"])
    func lasting(state: String) {
        let error = PostgresError(.server, "refused", sqlState: state)
        #expect(!error.isWorthRepeating && !error.isConnectionTrouble)
    }
}
