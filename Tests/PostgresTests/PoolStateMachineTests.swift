import Testing

@testable import Postgres

@Suite("The pool's decisions")
struct PoolStateMachineTests {
    @Test("opens one connection for each waiter, up to its size")
    func opensLazily() {
        var machine = PoolStateMachine(size: 2, waiterLimit: 10)
        #expect(machine.acquire(1) == [.open(1)])
        #expect(machine.acquire(2) == [.open(2)])
        #expect(machine.acquire(3) == [])
        #expect(machine.opened(1) == [.lend(1, to: 1)])
        #expect(machine.opened(2) == [.lend(2, to: 2)])
        #expect(machine.returned(1, isHealthy: true) == [.lend(1, to: 3)])
        #expect(machine.returned(2, isHealthy: true) == [] && machine.idleCount == 1 && machine.lentCount == 1)
        #expect(machine.acquire(4) == [.lend(2, to: 4)])
    }

    @Test("lends to whoever came first, and the most recently used connection first")
    func order() {
        var machine = PoolStateMachine(size: 2, waiterLimit: 10)
        for waiter in 1...4 { _ = machine.acquire(waiter) }
        _ = machine.opened(2)
        _ = machine.opened(1)
        #expect(machine.returned(1, isHealthy: true) == [.lend(1, to: 3)])
        #expect(machine.returned(2, isHealthy: true) == [.lend(2, to: 4)])
        _ = machine.returned(2, isHealthy: true)
        _ = machine.returned(1, isHealthy: true)
        #expect(machine.acquire(5) == [.lend(1, to: 5)])
    }

    @Test("refuses a waiter too many, and one that waits too long, but not twice")
    func bounds() {
        var machine = PoolStateMachine(size: 1, waiterLimit: 1)
        _ = machine.acquire(1)
        #expect(machine.acquire(2) == [.refuse(2, .tooManyWaiters)])
        #expect(machine.expire(1) == [.refuse(1, .waitedTooLong)])
        #expect(machine.expire(1) == [] && machine.abandon(1) == false)
        #expect(machine.opened(1) == [] && machine.idleCount == 1)
    }

    @Test("pauses after a failure to open, then tries one at a time")
    func backsOff() {
        var machine = PoolStateMachine(size: 3, waiterLimit: 10)
        for waiter in 1...3 { _ = machine.acquire(waiter) }
        #expect(machine.openFailed(1) == [.retry(attempt: 0)])
        #expect(machine.openFailed(2) == [] && machine.openFailed(3) == [])
        #expect(machine.acquire(4) == [])
        #expect(machine.retryDue() == [.open(4)])
        #expect(machine.openFailed(4) == [.retry(attempt: 1)])
        #expect(machine.retryDue() == [.open(5)])
        #expect(machine.opened(5) == [.lend(5, to: 1), .open(6), .open(7)])
    }

    @Test("forgets a connection lost while idle, and lets go of one lost while lent")
    func losses() {
        var machine = PoolStateMachine(size: 1, waiterLimit: 10)
        _ = machine.acquire(1)
        _ = machine.opened(1)
        _ = machine.acquire(2)
        #expect(machine.lost(1) == [])
        #expect(machine.returned(1, isHealthy: true) == [.close(1), .open(2)])
        #expect(machine.opened(2) == [.lend(2, to: 2)])
        _ = machine.returned(2, isHealthy: true)
        #expect(machine.lost(2) == [.close(2)] && machine.idleCount == 0)
        #expect(machine.acquire(3) == [.open(3)])
    }

    @Test("closes what is idle at once and what is lent or opening when it comes")
    func closes() {
        var machine = PoolStateMachine(size: 3, waiterLimit: 10)
        for waiter in 1...3 { _ = machine.acquire(waiter) }
        _ = machine.opened(1)
        _ = machine.opened(2)
        _ = machine.returned(2, isHealthy: true)
        #expect(machine.close() == [] && machine.lentCount == 2)
        #expect(machine.acquire(9) == [.refuse(9, .poolClosed)])
        #expect(machine.returned(1, isHealthy: true) == [.close(1)])
        #expect(machine.opened(3) == [.close(3)])
        #expect(machine.close() == [])
    }

    @Test("never lends a connection twice, never exceeds its size, never forgets a waiter", arguments: 0..<50)
    func random(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var machine = PoolStateMachine(size: 3, waiterLimit: 5)
        var (opening, lent, answered, waiting): (Set<Int>, Set<Int>, Set<Int>, Set<Int>) = ([], [], [], [])
        var (cooling, nextWaiter) = (false, 0)
        func take(_ actions: [PoolStateMachine.Action]) {
            for action in actions {
                switch action {
                case .open(let id): #expect(opening.insert(id).inserted, "seed \(seed)")
                case .lend(let id, let waiter):
                    #expect(lent.insert(id).inserted && answered.insert(waiter).inserted, "seed \(seed)")
                    waiting.remove(waiter)
                case .refuse(let waiter, _):
                    #expect(answered.insert(waiter).inserted, "seed \(seed)")
                    waiting.remove(waiter)
                case .close(let id): #expect(!lent.contains(id), "seed \(seed)")
                case .retry: cooling = true
                }
            }
        }
        for _ in 0..<400 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                nextWaiter += 1
                waiting.insert(nextWaiter)
                take(machine.acquire(nextWaiter))
            case 2:
                guard let id = opening.randomElement(using: &random) else { continue }
                opening.remove(id)
                take(Bool.random(using: &random) ? machine.opened(id) : machine.openFailed(id))
            case 3:
                guard let id = lent.randomElement(using: &random) else { continue }
                lent.remove(id)
                take(machine.returned(id, isHealthy: Int.random(in: 0..<4, using: &random) > 0))
            case 4:
                guard cooling else { continue }
                cooling = false
                take(machine.retryDue())
            default:
                guard let waiter = waiting.randomElement(using: &random) else { continue }
                take(machine.expire(waiter))
            }
            #expect(opening.count + machine.lentCount + machine.idleCount <= 3, "seed \(seed)")
            #expect(machine.waiterCount == waiting.count && machine.lentCount == lent.count, "seed \(seed)")
            let stuck = machine.waiterCount > 0 && opening.isEmpty && lent.isEmpty && !cooling
            #expect(!stuck && (machine.idleCount == 0 || waiting.isEmpty), "seed \(seed)")
        }
    }
}

/// A generator whose whole state is its seed (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
