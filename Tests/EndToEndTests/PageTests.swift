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
                // The third tab's streams are the second replica's until that one dies.
                let balancer = try await Balancer.start(
                    to: [replicas[1].port],
                    backup: replicas[0].port,
                    in: installation.folder
                )
                let run = try await Spawned.start(
                    [try Places.sdkPython(), "\(Places.repository)/Tests/EndToEndTests/clients/page.py"]
                        + (replicas.map(\.port) + [balancer.port]).map { "http://127.0.0.1:\($0)" },
                    environment: [
                        "PATH": "/usr/bin:/bin", "HOME": installation.folder.path, "BROWSER": browser,
                        "TURNPIKE_TOKEN": installation.token, "VICTIM": "\(replicas[1].pid)",
                    ],
                    output: installation.folder.file("page.log")
                )
                let status = try await run.end(within: .seconds(120))
                #expect(status == 0, "\(run.text)")
                try await balancer.stop()
            }
        }
    }
}
