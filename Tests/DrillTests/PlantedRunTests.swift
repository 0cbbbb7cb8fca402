import Faults
import Testing

@testable import turnpike_drill

@Suite struct PlantedRunTests {
    @Test("every bug that can be planted has a run that must find it")
    func complete() {
        #expect(PlantedRun.all.map(\.bug).sorted() == PlantedBug.allCases.map { "\($0)" }.sorted())
    }
}
