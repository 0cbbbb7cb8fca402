import Domain
import Testing

/// The desk behind a reference, so that an expectation can call what changes it.
private final class Desk {
    private var desk = SessionDesk()

    var state: SessionDesk.State { self.desk.state }
    var isEnding: Bool { self.desk.isEnding }
    func ready() -> SessionDesk.Step? { self.desk.ready() }
    func reserve() -> Bool { self.desk.reserve() }
    func decide(_ turn: ArmedTurn?) -> SessionDesk.Step? { self.desk.decide(turn) }
    func wake() -> SessionDesk.Step? { self.desk.wake() }
    func end(_ reason: SessionEnding) -> SessionDesk.Step? { self.desk.end(reason) }
}

@Suite("The session's desk")
struct SessionDeskTests {
    private func turn(_ seq: Int64 = 1) throws -> ArmedTurn {
        ArmedTurn(
            id: try #require(TurnID("00000000-0000-4000-8000-000000000001")),
            seq: seq,
            run: nil,
            attempt: 1,
            input: TurnInput(text: "x"),
            deadlineSeconds: nil,
            cancelRequested: false
        )
    }

    /// A desk whose session has nothing in hand.
    private func idleDesk() -> Desk {
        let desk = Desk()
        #expect(desk.ready() == nil)
        return desk
    }

    @Test("an idle session is reserved once, and gets the turn that was committed for it")
    func handOver() throws {
        let desk = self.idleDesk()
        #expect(desk.reserve())
        #expect(desk.reserve() == false)
        let turn = try self.turn()
        #expect(desk.decide(turn) == .perform(turn))
        #expect(desk.state == .busy)
    }

    @Test("a reservation that came to nothing leaves the session idle")
    func emptyHandOver() {
        let desk = self.idleDesk()
        #expect(desk.reserve())
        #expect(desk.decide(nil) == nil)
        #expect(desk.state == .idle)
    }

    @Test("an intake that finds the session busy makes it look before it waits")
    func lookBeforeWaiting() {
        let desk = Desk()
        #expect(desk.reserve() == false)
        #expect(desk.ready() == .look)
        #expect(desk.ready() == nil)
    }

    @Test("an intake that finds the session reserved makes it look after the reservation")
    func lookAfterReservation() {
        let desk = self.idleDesk()
        #expect(desk.reserve())
        #expect(desk.reserve() == false)
        #expect(desk.decide(nil) == .look)
    }

    @Test("an end waits for the turn in hand and for a reservation")
    func endWaits() throws {
        let busy = Desk()
        #expect(busy.end(.draining) == nil)
        #expect(busy.isEnding)
        #expect(busy.ready() == .end(.draining))
        let reserved = self.idleDesk()
        #expect(reserved.reserve())
        #expect(reserved.end(.idle) == nil)
        let turn = try self.turn()
        #expect(reserved.decide(turn) == .perform(turn))
        #expect(reserved.ready() == .end(.idle))
    }

    @Test("the first reason to end stays, and nothing is handed over afterwards")
    func firstReason() {
        let desk = self.idleDesk()
        #expect(desk.end(.idle) == .end(.idle))
        #expect(desk.end(.evicted) == nil)
        #expect(desk.reserve() == false)
        #expect(desk.wake() == nil)
        #expect(desk.state == .ended)
    }

    @Test("no sequence of events loses a wake: a session never waits with one unanswered")
    func noLostWake() throws {
        // Every sequence of six events; a session that waits must have looked after the last wake.
        let turn = try self.turn()
        for code in 0..<Int(pow4(6)) {
            let desk = Desk()
            var mustLook = false
            var rest = code
            for _ in 0..<6 {
                var step: SessionDesk.Step?
                switch rest % 4 {
                case 0: step = desk.ready()
                case 1:
                    step = desk.wake()
                    mustLook = true
                case 2: if !desk.reserve() { mustLook = true }
                default: step = desk.decide(rest % 8 < 4 ? nil : turn)
                }
                rest /= 4
                if step == .look { mustLook = false }
                if desk.state == .idle { #expect(!mustLook, "event sequence \(code)") }
            }
        }
    }

    private func pow4(_ exponent: Int) -> Int {
        (0..<exponent).reduce(1) { product, _ in product * 4 }
    }
}
