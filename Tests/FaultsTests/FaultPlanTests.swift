import Testing

@testable import Faults

@Suite("What a drill asks for")
struct FaultPlanTests {
    @Test("a fault with a number happens at that hit only, one without at every hit, and others not at all")
    func hits() throws {
        var plan = try FaultPlan("settleBefore:exit@3,acceptBefore:delay:20,hydrated:error@1")
        #expect((1...4).map { _ in plan.hit(.settleBefore)?.action } == [nil, nil, .exit, nil])
        #expect(
            (1...2).map { _ in plan.hit(.acceptBefore)?.action } == [
                .delay(.milliseconds(20)), .delay(.milliseconds(20)),
            ]
        )
        #expect((1...2).map { _ in plan.hit(.hydrated)?.action } == [.error, nil])
        #expect(plan.hit(.spawned) == nil)
    }

    @Test("every point can be named")
    func names() throws {
        for point in FaultPoint.allCases {
            var plan = try FaultPlan("\(point):stop")
            #expect(plan.hit(point)?.action == .stop)
        }
    }

    @Test(
        "what cannot be meant is refused",
        arguments: [
            "settle:exit", "settleBefore", "settleBefore:", "settleBefore:burn", "settleBefore:delay",
            "settleBefore:delay:-1", "settleBefore:exit@0", "settleBefore:exit@x", "settleBefore:exit@1@2",
            "settleBefore:delay:1:2", ":exit",
        ]
    )
    func refusals(text: String) {
        #expect(throws: FaultSyntax.self) { try FaultPlan(text) }
    }

    @Test("no bug is planted unless it is asked for")
    func bugs() {
        #expect(PlantedBug.allCases.allSatisfy { !$0.isPlanted })
    }
}
