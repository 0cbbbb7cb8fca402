import Faults
import Testing

@testable import turnpike_drill

@Suite struct PlantedRunTests {
    @Test("every bug that can be planted has a run that must find it")
    func complete() {
        #expect(PlantedRun.all.map(\.bug).sorted() == PlantedBug.allCases.map { "\($0)" }.sorted())
    }

    @Test("a bug is seen by its own checks only, never by a run that could not go on", arguments: PlantedRun.all)
    func sight(_ planted: PlantedRun) {
        func violation(_ check: String) -> Violation { Violation(check: check, conversation: "", message: "") }
        for check in ["run", "faults", "tail"] { #expect(planted.sight(in: [violation(check)]) == nil) }
        for check in planted.checks {
            #expect(planted.sight(in: [violation("run"), violation(check)])?.check == check)
        }
    }
}
