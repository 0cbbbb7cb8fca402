import Domain
import Testing

@Suite("Backends")
struct BackendTests {
    private static func id(_ text: String) throws -> BackendID { try #require(BackendID(text)) }

    private static func sight(_ text: String) throws -> BackendTracker.Sighting {
        BackendTracker.Sighting(try self.id(text), cacheKey: "k")
    }

    private static func write(_ text: String, after previous: String?) throws -> BackendTracker.Step {
        .write(BackendSwitch(id: try self.id(text), previous: try previous.map { try self.id($0) }, cacheKey: "k"))
    }

    /// A tracker that remembers `a`.
    private static func onA() throws -> BackendTracker {
        var tracker = BackendTracker()
        tracker.remember(try self.id("a"))
        return tracker
    }

    @Test("what is written is read before anything is compared with it, and only once")
    func reading() throws {
        var tracker = BackendTracker()
        #expect(tracker.kept == nil)
        #expect(tracker.saw(try Self.sight("a")) == .read)
        #expect(tracker.saw(try Self.sight("b")) == nil, "one step at a time")
        #expect(tracker.wasRead(try Self.id("a")) == (try Self.write("b", after: "a")))
        tracker.remember(try Self.id("z"))
        #expect(tracker.kept == (try Self.id("a")))
        var fresh = BackendTracker()
        #expect(fresh.saw(try Self.sight("a")) == .read)
        #expect(fresh.wasRead(nil) == (try Self.write("a", after: nil)))
    }

    @Test("only a change is written, and it is remembered once its write is in force")
    func changes() throws {
        var tracker = try Self.onA()
        for _ in 0..<100 { #expect(tracker.saw(try Self.sight("a")) == nil) }
        #expect(tracker.saw(try Self.sight("b")) == (try Self.write("b", after: "a")))
        #expect(tracker.kept == (try Self.id("a")), "not before the write is in force")
        #expect(tracker.wasWritten() == nil)
        #expect(tracker.kept == (try Self.id("b")))
        #expect(tracker.saw(try Self.sight("b")) == nil)
    }

    @Test("a failed write changes nothing and is tried again by the next sighting, or at the end")
    func failures() throws {
        var tracker = try Self.onA()
        #expect(tracker.saw(try Self.sight("b")) != nil)
        #expect(tracker.failed() == nil, "not at once: what fails now may fail for a while")
        #expect(tracker.kept == (try Self.id("a")))
        #expect(tracker.saw(try Self.sight("b")) == (try Self.write("b", after: "a")))
        #expect(tracker.failed() == nil)
        #expect(tracker.flush() == (try Self.write("b", after: "a")))
        #expect(tracker.wasWritten() == nil)
        #expect(tracker.flush() == nil)
    }

    @Test("a failed reading is tried again in the same way")
    func failedReading() throws {
        var tracker = BackendTracker()
        #expect(tracker.saw(try Self.sight("a")) == .read)
        #expect(tracker.failed() == nil)
        #expect(tracker.flush() == .read)
        #expect(tracker.failed() == nil)
        #expect(tracker.saw(try Self.sight("a")) == .read)
    }

    @Test("of sightings that overlap a write, the latest is written next and the others never")
    func overlap() throws {
        var tracker = try Self.onA()
        #expect(tracker.saw(try Self.sight("b")) != nil)
        for name in ["c", "d", "e"] { #expect(tracker.saw(try Self.sight(name)) == nil) }
        #expect(tracker.wasWritten() == (try Self.write("e", after: "b")))
        #expect(tracker.wasWritten() == nil)
    }

    @Test("a flap back during a write is kept, whether the write succeeds or not")
    func flapBack() throws {
        var tracker = try Self.onA()
        #expect(tracker.saw(try Self.sight("b")) != nil)
        #expect(tracker.saw(try Self.sight("a")) == nil)
        #expect(tracker.wasWritten() == (try Self.write("a", after: "b")))
        var failing = try Self.onA()
        #expect(failing.saw(try Self.sight("b")) != nil)
        #expect(failing.saw(try Self.sight("a")) == nil)
        #expect(failing.failed() == nil, "what is written is right already")
        #expect(failing.flush() == nil)
    }

    @Test("a backend that had no room, or served nothing for long, is no hint until it serves again")
    func passedOver() throws {
        let (a, b) = (try Self.id("a"), try Self.id("b"))
        var tracker = try Self.onA()
        tracker.begin()
        #expect(tracker.hint == a)
        #expect(tracker.foundNoRoom() == true)
        #expect(tracker.foundNoRoom() == false, "told once")
        #expect(tracker.hint == nil)
        #expect(tracker.kept == a)
        tracker.begin()
        #expect(tracker.hint == nil, "another turn changes nothing about it")
        #expect(tracker.saw(try Self.sight("a")) == nil, "it serves again: nothing to write")
        #expect(tracker.hint == a)
        #expect(tracker.remember(a, isStale: true) == false, "it has served this turn")
        tracker.begin()
        #expect(tracker.remember(a, isStale: true) == true)
        #expect(tracker.hint == nil)
        #expect(tracker.saw(try Self.sight("b")) == (try Self.write("b", after: "a")), "the record has no gap")
        #expect(tracker.wasWritten() == nil)
        #expect(tracker.hint == b)
        var fresh = BackendTracker()
        #expect(fresh.foundNoRoom() == false, "nobody was hinted at")
        #expect(fresh.remember(nil, isStale: true) == false)
    }

    @Test("whatever comes in whatever order, what is written at the end is the latest sighting")
    func anyOrder() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Splitmix(seed)
        for round in 0..<2_000 {
            var (tracker, written): (BackendTracker, BackendID?) = (BackendTracker(), nil)
            var (step, latest): (BackendTracker.Step?, BackendID?) = (nil, nil)
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                if let current = step, Bool.random(using: &random) {
                    step = Self.end(current, fails: Bool.random(using: &random), &tracker, &written)
                } else {
                    let sighting = try Self.sight(["a", "b", "c"].randomElement(using: &random) ?? "a")
                    latest = sighting.backend
                    let begun = tracker.saw(sighting)
                    #expect(begun == nil || step == nil, "two steps at once; seed \(seed), round \(round)")
                    step = step ?? begun
                }
            }
            while let current = step { step = Self.end(current, fails: false, &tracker, &written) }
            step = tracker.flush()
            while let current = step { step = Self.end(current, fails: false, &tracker, &written) }
            #expect(written == latest, "seed \(seed), round \(round)")
            #expect(tracker.kept == latest, "seed \(seed), round \(round)")
        }
    }

    /// Carries out a step on a database that is one variable.
    private static func end(
        _ step: BackendTracker.Step,
        fails: Bool,
        _ tracker: inout BackendTracker,
        _ written: inout BackendID?
    ) -> BackendTracker.Step? {
        if fails { return tracker.failed() }
        switch step {
        case .read: return tracker.wasRead(written)
        case .write(let change):
            #expect(change.previous == written && change.id != written)
            written = change.id
            return tracker.wasWritten()
        }
    }

    @Test("a backend's name is one that can be sent back in a header")
    func names() {
        #expect(BackendID("fp_44709d6fcb")?.text == "fp_44709d6fcb")
        #expect(BackendID("meta/llama-3:70b@eu") != nil)
        for bad in ["", " ", "a b", "a\r\nX: y", "é", String(repeating: "x", count: 201)] {
            #expect(BackendID(bad) == nil, "\(bad)")
        }
    }
}

/// A small generator with a seed.
private struct Splitmix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
