import Testing

@testable import Postgres

@Suite("When the server lets go")
struct ReleaseTimesTests {
    private let trust: Duration = .seconds(3)
    private let margin: Duration = .milliseconds(1250)

    @Test("times that leave a client the time to stop are fit, and TCP's do not count where there is none")
    func fit() throws {
        try ReleaseTimes(idleSession: 5_000, userTimeout: 8_000, keepalives: 8_000).check(trust: trust, margin: margin)
        try ReleaseTimes(idleSession: 4_250, userTimeout: 0, keepalives: 0).check(trust: trust, margin: margin)
    }

    @Test(
        "a server that may let go too early, or never does, is refused",
        arguments: [(0, 8_000, 8_000), (4_200, 8_000, 8_000), (5_000, 4_000, 8_000), (5_000, 8_000, 2_000)]
    )
    func refused(idleSession: Int, userTimeout: Int, keepalives: Int) {
        let times = ReleaseTimes(idleSession: idleSession, userTimeout: userTimeout, keepalives: keepalives)
        #expect(throws: ReleaseTimes.TooEarly.self) { try times.check(trust: trust, margin: margin) }
    }
}
