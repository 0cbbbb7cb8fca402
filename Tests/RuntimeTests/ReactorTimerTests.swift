import Runtime
import Testing

@Suite("Timers of a reactor")
struct ReactorTimerTests {
    @Test("a timer may set another while it fires")
    func rearms() async throws {
        let reactor = try Reactor(name: "timers")
        let fired = OneShot<Void>()
        reactor.after(.milliseconds(1)) {
            reactor.after(.milliseconds(1)) { fired.resolve(()) }
        }
        await fired.value()
        try await BlockingPool(threads: 1).run { reactor.stop() }
    }
}
