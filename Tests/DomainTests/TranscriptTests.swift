import Domain
import Foundation
import Testing

@Suite("What was said before")
struct TranscriptTests {
    private func exchange(_ seq: Int64, _ input: String, _ reply: String) -> Transcript.Exchange {
        Transcript.Exchange(seq: seq, epoch: seq * 10, input: input, reply: reply)
    }

    @Test("the oldest is cut first, and what is kept is told oldest first")
    func cut() {
        let all = [self.exchange(3, "ccc", "C"), self.exchange(2, "bb", "BB"), self.exchange(1, "a", "A")]
        let whole = Transcript(newestFirst: all, maximumBytes: 10)
        #expect(whole.exchanges.map(\.seq) == [1, 2, 3] && !whole.isCut)
        let cut = Transcript(newestFirst: all, maximumBytes: 9)
        #expect(cut.exchanges.map(\.seq) == [2, 3] && cut.isCut)
        #expect(Transcript(newestFirst: Array(all.prefix(2)), maximumBytes: 99, isCut: true).isCut)
        #expect(whole.after(10).map(\.seq) == [2, 3] && whole.after(30).isEmpty)
    }

    @Test("of the newest turn something is kept whatever its size, in whole characters and within the bytes")
    func newest() {
        let long = self.exchange(1, String(repeating: "é", count: 50), String(repeating: "😀", count: 50))
        for bytes in 0...20 {
            let transcript = Transcript(newestFirst: [long], maximumBytes: bytes)
            #expect(transcript.isCut && transcript.exchanges.count == 1)
            let kept = transcript.exchanges[0]
            #expect(kept.input.utf8.count + kept.reply.utf8.count <= bytes)
            #expect(long.input.hasPrefix(kept.input) && long.reply.hasPrefix(kept.reply))
        }
        let short = self.exchange(1, "why?", String(repeating: "x", count: 100))
        let kept = Transcript(newestFirst: [short], maximumBytes: 20).exchanges[0]
        #expect(kept.input == "why?" && kept.reply.count == 16)
    }
}

@Suite("Tool servers of an agent")
struct MCPServerTests {
    private func decode(_ servers: String, driver: String = "acp") throws -> AgentConfiguration {
        let text = #"{"command":["x"],"driver":"\#(driver)","mcp_servers":\#(servers)}"#
        return try JSONDecoder().decode(AgentConfiguration.self, from: Data(text.utf8))
    }

    @Test("the protocol's shape is read, kept and handed over")
    func shape() throws {
        let configuration = try self.decode(
            #"""
            [{"name":"a","command":"/bin/a"},
             {"name":"b","command":"/bin/b","args":["-x"],"env":[{"name":"K","value":"v"}]},
             {"type":"sse","name":"c","url":"http://c","headers":[{"name":"H","value":"w"}]}]
            """#
        )
        #expect(configuration.problems.isEmpty)
        let again = try JSONDecoder().decode(AgentConfiguration.self, from: JSONEncoder().encode(configuration))
        #expect(again == configuration)
        #expect(
            configuration.mcpServers.map(\.json) == [
                ["name": "a", "command": "/bin/a", "args": [], "env": []],
                ["name": "b", "command": "/bin/b", "args": ["-x"], "env": [["name": "K", "value": "v"]]],
                ["type": "sse", "name": "c", "url": "http://c", "headers": [["name": "H", "value": "w"]]],
            ]
        )
    }

    @Test(
        "a server that no agent could reach names its problem",
        arguments: [
            (#"[{"name":"","command":"/a"}]"#, "mcp_servers[0].name"),
            (#"[{"name":"a","command":"npx"}]"#, "mcp_servers[0].command"),
            (#"[{"name":"a","command":"/a","url":"http://a"}]"#, "mcp_servers[0].url"),
            (#"[{"name":"a","type":"http","url":"ftp://a"}]"#, "mcp_servers[0].url"),
            (#"[{"name":"a","type":"http","url":"http://a","args":["x"]}]"#, "mcp_servers[0].command"),
            (#"[{"name":"a","command":"/a","env":[{"name":"","value":""}]}]"#, "mcp_servers[0].env"),
            (#"[{"name":"a","command":"/a"},{"name":"a","command":"/b"}]"#, "mcp_servers"),
        ]
    )
    func problems(_ servers: String, _ member: String) throws {
        #expect(try self.decode(servers).problems.map(\.member) == [member])
    }

    @Test("misspelt members are refused, and a program that is no agent can be told of none")
    func refused() throws {
        for servers in [#"[{"name":"a","cmd":"/a"}]"#, #"[{"command":"/a"}]"#, #"[{"name":"a","type":"tcp"}]"#, "{}"] {
            #expect(throws: DecodingError.self) { try self.decode(servers) }
        }
        let command = try self.decode(#"[{"name":"a","command":"/a"}]"#, driver: "command")
        #expect(command.problems.map(\.member) == ["mcp_servers"])
    }
}
