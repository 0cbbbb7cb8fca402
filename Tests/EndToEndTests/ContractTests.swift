import Glibc
import TestKit
import Testing

extension EndToEnd {
    @Suite struct ContractTests {
        /// Tries of each route and phase; `TURNPIKE_EXAMPLES` asks for more.
        private static let usualExamples = "12"

        @Test("whatever the document allows is answered as it says, and whatever it does not is refused")
        func document() async throws {
            try await Installation.with { installation in
                let replica = try await installation.replica()
                let run = try await Spawned.start(
                    [
                        try Places.sdkPython(), "\(Places.repository)/Tests/EndToEndTests/clients/contract.py",
                        "http://127.0.0.1:\(replica.port)", Self.examples,
                    ],
                    environment: [
                        "PATH": "/usr/bin:/bin", "HOME": installation.folder.path, "TURNPIKE_TOKEN": installation.token,
                    ],
                    output: installation.folder.file("contract.log")
                )
                let status = try await run.end(within: .seconds(Self.examples == Self.usualExamples ? 180 : 1_800))
                #expect(status == 0, "\(run.text)")
                Figures.report(
                    "the document's run:\n\(run.text.split(separator: "\n").suffix(12).joined(separator: "\n"))"
                )
            }
        }

        private static var examples: String {
            getenv("TURNPIKE_EXAMPLES").map { String(cString: $0) } ?? Self.usualExamples
        }
    }
}
