import Glibc
import TestKit
import Testing

extension EndToEnd {
    @Suite struct PageTests {
        @Test("two tabs of a browser, on two replicas, see one conversation live, decide in it and come back to it")
        func twoTabs() async throws {
            let browser = try Missing.program("/usr/bin/chromium", remedy: "deploy/packages.sh test")
            try await Installation.with { installation in
                let replicas = try await installation.replicas(2)
                let agent = "\(Places.repository)/Sources/turnpike/Resources/echo_agent.py"
                try await installation.client(replicas[0].port)
                    .put("echo", ["/usr/bin/python3", "-S", agent], more: #","permissions":"ask""#)
                let run = try await Spawned.start(
                    [try Places.sdkPython(), "\(Places.repository)/Tests/EndToEndTests/clients/page.py"]
                        + replicas.map { "http://127.0.0.1:\($0.port)" },
                    environment: [
                        "PATH": "/usr/bin:/bin", "HOME": installation.folder.path, "BROWSER": browser,
                        "TURNPIKE_TOKEN": installation.token,
                    ],
                    output: installation.folder.file("page.log")
                )
                let status = try await run.end(within: .seconds(120))
                #expect(status == 0, "\(run.text)")
            }
        }
    }
}
