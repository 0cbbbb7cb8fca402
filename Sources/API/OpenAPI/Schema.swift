import Domain

/// Building blocks of the document's schemas (JSON Schema 2020-12).
enum Schema {
    /// Text; U+0000 cannot be stored, so it is refused.
    static let text: JSONValue = ["type": "string"]
    /// Text that is not empty.
    static let something: JSONValue = ["type": "string", "minLength": 1]
    static let flag: JSONValue = ["type": "boolean"]
    static let number: JSONValue = ["type": "integer"]
    static let any: JSONValue = [:]
    static let map: JSONValue = ["type": "object"]
    static let uuid: JSONValue = ["type": "string", "format": "uuid"]
    static let time: JSONValue = ["type": "string", "format": "date-time"]
    /// What `Name` checks.
    static let name: JSONValue = ["type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"]

    static func text(_ range: ClosedRange<Int64>, pattern: String? = nil) -> JSONValue {
        var members: [String: JSONValue] = [
            "type": "string", "minLength": .integer(range.lowerBound), "maxLength": .integer(range.upperBound),
        ]
        if let pattern { members["pattern"] = .string(pattern) }
        return .object(members)
    }

    /// Text without control characters.
    static func line(_ range: ClosedRange<Int64>) -> JSONValue {
        self.text(range, pattern: "^[^\\x00-\\x1f\\x7f-\\x9f]*$")
    }

    static func integer(_ range: ClosedRange<Int64>) -> JSONValue {
        ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)]
    }

    static func choice(_ values: [String]) -> JSONValue {
        ["type": "string", "enum": .array(values.map(JSONValue.string))]
    }

    static func list(_ element: JSONValue, atLeast least: Int64 = 0) -> JSONValue {
        ["type": "array", "items": element, "minItems": .integer(least)]
    }

    static func reference(_ name: String) -> JSONValue {
        ["$ref": .string("#/components/schemas/\(name)")]
    }

    static func orNull(_ schema: JSONValue) -> JSONValue {
        ["anyOf": [schema, ["type": "null"]]]
    }

    static func either(_ schemas: JSONValue...) -> JSONValue {
        ["anyOf": .array(schemas)]
    }

    /// An object; members that are not `optional` are always there. A closed one has no others. `rules` are further keywords,
    /// for what the members mean together.
    static func object(
        _ members: [String: JSONValue],
        optional: [String] = [],
        isClosed: Bool = false,
        rules: [String: JSONValue] = [:]
    ) -> JSONValue {
        let required = members.keys.filter { !optional.contains($0) }.sorted()
        var schema: [String: JSONValue] = ["type": "object", "properties": .object(members)]
        if !required.isEmpty { schema["required"] = .array(required.map(JSONValue.string)) }
        if isClosed { schema["additionalProperties"] = false }
        return .object(schema.merging(rules) { first, _ in first })
    }

    /// An object whose members' names are anything that `pattern` matches.
    static func map(_ values: JSONValue, names pattern: String) -> JSONValue {
        ["type": "object", "additionalProperties": values, "propertyNames": ["pattern": .string(pattern)]]
    }

    /// The body of a request in which every member but these may be left out or null, as the native API takes it.
    static func request(
        _ members: [String: JSONValue],
        required: [String],
        rules: [String: JSONValue] = [:]
    ) -> JSONValue {
        let shown = members.map { ($0.key, required.contains($0.key) ? $0.value : self.orNull($0.value)) }
        return self.object(
            Dictionary(shown) { first, _ in first },
            optional: members.keys.filter { !required.contains($0) },
            isClosed: true,
            rules: rules
        )
    }
}
