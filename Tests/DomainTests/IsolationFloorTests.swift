import Domain
import Testing

@Suite("What an operator asks of every worker's isolation")
struct IsolationFloorTests {
    private func agent(_ isolation: Isolation, _ paths: [String] = []) -> AgentConfiguration {
        var agent = AgentConfiguration(driver: .acp, command: ["agent"], storeMode: .none)
        agent.isolation = isolation
        agent.readOnlyPaths = paths
        return agent
    }

    @Test("no profile below the least one passes, and a remote agent, which is not started here, always does")
    func least() {
        for (index, least) in Isolation.allCases.enumerated() {
            let floor = IsolationFloor(least: least)
            for (other, isolation) in Isolation.allCases.enumerated() {
                #expect((floor.problem(of: self.agent(isolation))?.member == "isolation") == (other < index))
            }
            var remote = self.agent(.none)
            remote.driver = .remote
            #expect(floor.problem(of: remote) == nil)
        }
    }

    @Test(
        "what is hidden is shown neither by its name, nor by what it is in, nor by what is in it, nor by a link",
        arguments: [
            ("/srv/places", false), ("/srv", false), ("/srv/places/one/home", false), ("/srv/places/", false),
            ("/srv/places-next", true), ("/run/secrets", false), ("/run/secrets/url", false), ("/run/user", true),
            ("/opt/link", false), ("/opt/link/one", false), ("/opt/agent", true),
        ]
    )
    func hidden(_ path: String, _ passes: Bool) {
        let floor = IsolationFloor(hidden: ["/srv/places", "/run/secrets/url"])
        let problem = floor.problem(of: self.agent(.sandbox, ["/opt/fine", path])) { path in
            path.hasPrefix("/opt/link") ? "/srv/places" + path.dropFirst("/opt/link".count) : path
        }
        #expect((problem == nil) == passes)
        #expect(passes || problem?.member == "read_only_paths")
    }

    @Test("what is a link itself hides what it leads to as well")
    func hiddenLink() {
        let floor = IsolationFloor(hidden: ["/srv/places"])
        let resolve = { (path: String) in path == "/srv/places" ? "/disk/places" : path }
        #expect(floor.problem(of: self.agent(.sandbox, ["/disk/places/one"]), resolve: resolve) != nil)
        #expect(floor.problem(of: self.agent(.sandbox, ["/disk/other"]), resolve: resolve) == nil)
    }

    @Test("where folders are named, nothing outside of them is shown")
    func readable() {
        let floor = IsolationFloor(readable: ["/opt", "/usr/local/agents"])
        for (path, passes) in [("/opt/a", true), ("/opt", true), ("/optional", false), ("/usr/local", false)] {
            #expect((floor.problem(of: self.agent(.sandbox, [path])) == nil) == passes, "\(path)")
        }
    }
}
