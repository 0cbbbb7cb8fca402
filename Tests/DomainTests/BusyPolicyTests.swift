import Domain
import Testing

@Suite("What a busy conversation is told")
struct BusyPolicyTests {
    @Test("a wait is the rest of the running turn and the turns between, or not told")
    func waits() {
        func wait(_ ahead: Int, _ typical: Duration?, _ elapsed: Duration?, held: Bool = false) -> Duration? {
            WaitEstimate.wait(ahead: ahead, typical: typical, elapsed: elapsed, isHeldBack: held)
        }
        #expect(wait(0, nil, nil) == .zero)
        #expect(wait(1, nil, .seconds(1)) == nil)
        #expect(wait(1, .seconds(10), .seconds(4)) == .seconds(6))
        #expect(wait(1, .seconds(10), .seconds(40)) == .zero, "overdue is not negative")
        #expect(wait(3, .seconds(10), .seconds(4)) == .seconds(26))
        #expect(wait(3, .seconds(10), nil) == .seconds(30), "nothing runs yet")
        #expect(wait(0, .seconds(10), nil, held: true) == nil, "who waits for a place is not next")
    }
}
