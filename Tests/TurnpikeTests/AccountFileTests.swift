import Domain
import Testing

@testable import turnpike

@Suite("The file of accounts")
struct AccountFileTests {
    private func parse(_ text: String) throws -> [AccountHosting] {
        try AccountFile.parse(text, path: "accounts.json") { file throws(CommandFailure) in
            guard file == "/secret" else { throw CommandFailure(.usage, "cannot read \(file)") }
            return "s3cret"
        }
    }

    @Test("names accounts, their slots, and what makes a worker act as them")
    func complete() throws {
        let text = #"""
            {"accounts": [{"provider": "p", "principal": "a", "label": "one", "pool": "blue", "slots": 4,
                "environment": {"URL": "u"}, "secrets": {"KEY": "/secret"}},
                {"organization": "acme", "provider": "p", "principal": "a"}]}
            """#
        let hostings = try self.parse(text)
        #expect(hostings.count == 2)
        #expect(hostings[0].environment == ["URL": "u", "KEY": "s3cret"])
        #expect(hostings[0].slots == 4 && hostings[0].label == "one" && hostings[0].pool?.text == "blue")
        #expect(hostings[0].identity.org.text == "default")
        #expect(hostings[1].identity.org.text == "acme" && hostings[1].slots == 1 && hostings[1].environment == [:])
    }

    @Test(
        "what is no such file is refused before anything starts",
        arguments: [
            "", "[]", "{}", #"{"accounts":[{}]}"#, #"{"accounts":[{"provider":"p","principal":""}]}"#,
            #"{"accounts":[{"provider":"a b","principal":"x"}]}"#,
            #"{"accounts":[{"provider":"p","principal":"x","slots":0}]}"#,
            #"{"accounts":[{"provider":"p","principal":"x","slot":1}]}"#,
            #"{"accounts":[{"provider":"p","principal":"x","secrets":{"K":"/none"}}]}"#,
            #"{"accounts":[{"provider":"p","principal":"x"},{"provider":"p","principal":"x"}]}"#,
        ]
    )
    func refusals(_ text: String) {
        let failure = #expect(throws: CommandFailure.self) { try self.parse(text) }
        #expect(failure?.exit == .usage)
    }

    @Test(
        "a variable that its worker would not get is refused, and named",
        arguments: [
            (#""environment":{"":"x"}"#, "no process"), (#""environment":{"A=B":"x"}"#, "A=B"),
            (#""environment":{"A\u0000":"x"}"#, "no process"), (#""environment":{"A":"x\u0000"}"#, "no process"),
            (#""environment":{"TURNPIKE_X":"x"}"#, "TURNPIKE_X"),
            (#""secrets":{"TURNPIKE_X":"/secret"}"#, "TURNPIKE_X"),
        ]
    )
    func variables(_ member: String, _ words: String) {
        let text = #"{"accounts":[{"provider":"p","principal":"x",\#(member)}]}"#
        let failure = #expect(throws: CommandFailure.self) { try self.parse(text) }
        #expect(failure?.message.contains(words) == true && failure?.message.contains("accounts[0]") == true)
    }
}
