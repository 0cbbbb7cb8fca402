package import Domain
internal import Foundation

/// An answer as it came.
package struct Answer: Sendable {
    /// The status code.
    package let status: Int
    /// Names in lower case.
    package let headers: [String: String]
    /// What followed the head, chunks put together.
    package let body: [UInt8]

    /// The body as text.
    package var text: String { String(decoding: self.body, as: UTF8.self) }

    /// The body as JSON; throws when it is none.
    package func json() throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(self.body))
    }

    /// The code of an error.
    package var code: String? {
        do {
            return try self.json()["error"]?["code"]?.text
        } catch {
            return nil
        }
    }

    /// The events of a stream, comments left out.
    package var events: [StreamedEvent] { StreamedEvent.parse(self.text) }
}
