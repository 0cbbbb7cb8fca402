import Domain
import Testing

@testable import turnpike

@Suite("Questions in the chat")
struct ChatQuestionTests {
    private static let data = #"""
        {"approval":"a-1","tool":{"id":"t","name":"rm \u001b[31mall"},"arguments":{"path":"/"},"turn":"t1","options":[
        {"id":"yes","name":"Allow","kind":"allow_once"},{"id":"ever","name":"Always","kind":"allow_always"},
        {"id":"no","name":"Reject","kind":"reject_once"}]}
        """#

    private func event(_ type: String, _ data: String) -> StreamedEvent {
        var event = StreamedEvent(data: data.replacing("\n", with: ""))
        event.type = type
        return event
    }

    @Test("a question interrupts the reply on a line of its own and says what is asked, without terminal commands")
    func asked() throws {
        var renderer = ChatRenderer(style: .terminal)
        _ = renderer.take(self.event("delta", #"{"text":"Well","turn":"t1"}"#))
        let output = renderer.take(self.event("approval.requested", Self.data))
        #expect(output.text == "\n")
        let question = try #require(output.question)
        #expect(question.id == "a-1")
        #expect(
            question.text == """
                ? The worker asks to use: rm [31mall
                {
                  "path" : "/"
                }
                  1  Allow
                  2  Always
                  3  Reject
                Allow it? y, n, or a number: 
                """
        )
        #expect(!question.hint.contains("\u{1B}") && question.hint.contains("turnpike approval decide a-1 allow"))
    }

    @Test("the outcome shows at a terminal, whoever decided, and closes the question")
    func resolved() {
        for (data, shown) in [
            (#"{"approval":"a-1","state":"decided","decision":"yes"}"#, "decided: yes"),
            (#"{"approval":"a-1","state":"expired"}"#, "expired"),
        ] {
            var renderer = ChatRenderer(style: .terminal)
            let output = renderer.take(self.event("approval.resolved", data))
            #expect(output == ChatRenderer.Output(text: "\u{1B}[2m· \(shown)\u{1B}[0m\n", answered: "a-1"))
            var script = ChatRenderer(style: .plain)
            #expect(script.take(self.event("approval.resolved", data)).text.isEmpty)
        }
    }

    @Test(
        "a typed line is a decision or nothing",
        arguments: [
            ("y", "allow"), (" YES ", "allow"), ("allow", "allow"), ("n", "deny"), ("No", "deny"), ("1", "yes"),
            ("2", "ever"), ("ever", "ever"), ("4", nil), ("0", nil), ("", nil), ("maybe", nil),
        ] as [(String, String?)]
    )
    func typed(line: String, decision: String?) throws {
        var renderer = ChatRenderer(style: .terminal)
        let question = try #require(renderer.take(self.event("approval.requested", Self.data)).question)
        #expect(question.decision(line) == decision)
    }
}
