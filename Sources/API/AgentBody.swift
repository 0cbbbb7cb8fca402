import Domain
import Foundation
import HTTP

/// The body of `PUT /v1/agents/{agent}`, and a stored configuration's text: the same shape both ways.
enum AgentBody {
    /// Checks the text, then the types; what the values mean is the domain's to check. Throws 400 with the member's path.
    static func read(_ request: Request) throws -> AgentConfiguration {
        let json = try JSONBody.read(request)
        guard case .object = json else {
            throw APIError(400, "invalid_request", "the body must be a JSON object")
        }
        do {
            return try JSONDecoder().decode(AgentConfiguration.self, from: Data(request.body))
        } catch let error as DecodingError {
            // Foundation does not say where a number is that fits no integer.
            if let path = self.fraction(in: json) { throw APIError.invalid(path, "must be a whole number") }
            throw self.refusal(error)
        }
    }

    /// The path of the first number that is no 64-bit integer; no member of a configuration takes one.
    private static func fraction(in json: JSONValue, at path: String = "") -> String? {
        switch json {
        case .number: path
        case .array(let elements):
            elements.enumerated().lazy.compactMap { self.fraction(in: $1, at: "\(path)[\($0)]") }.first
        case .object(let members):
            members.sorted { $0.key < $1.key }.lazy
                .compactMap { self.fraction(in: $1, at: path.isEmpty ? $0 : "\(path).\($0)") }.first
        default: nil
        }
    }

    private static func refusal(_ error: DecodingError) -> APIError {
        switch error {
        case .keyNotFound(let key, let context):
            .invalid(self.path(context.codingPath + [key]), "is missing")
        case .typeMismatch(_, let context):
            .invalid(self.path(context.codingPath), "has the wrong type")
        case .valueNotFound(_, let context):
            .invalid(self.path(context.codingPath), "must not be null")
        case .dataCorrupted(let context) where context.debugDescription == "unknown member":
            .invalid(self.path(context.codingPath), "is no member of an agent's configuration")
        case .dataCorrupted(let context):
            .invalid(self.path(context.codingPath), "has a value that it cannot have")
        @unknown default:
            APIError(400, "invalid_request", "the body is no agent's configuration")
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.reduce(into: "") { path, key in
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += path.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
    }

    /// The configuration as JSON text, its members sorted.
    static func text(_ configuration: AgentConfiguration) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(configuration), as: UTF8.self)
    }
}
