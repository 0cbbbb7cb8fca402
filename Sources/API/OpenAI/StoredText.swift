import Domain
import Foundation

/// JSON text out of the store. It may hold what a client may not send (U+0000 in a worker's words), so it is not read by
/// the strict reader.
enum StoredText {
    /// The value; null for what is no JSON, which the store's columns cannot hold.
    static func value(_ text: String) -> JSONValue {
        (try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))) ?? .null
    }
}
