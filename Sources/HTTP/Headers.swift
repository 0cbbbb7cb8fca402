/// Field lines in the order in which they came or will be sent; names compare without regard to ASCII case
/// (RFC 9110 section 5.1).
package struct Headers: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    private struct Field: Sendable, Equatable {
        let name: String
        let value: String
    }

    private var fields: [Field] = []

    /// No fields.
    package init() {}

    /// Fields in the order of the literal; a repeated name stays repeated.
    package init(dictionaryLiteral elements: (String, String)...) {
        self.fields = elements.map { Field(name: $0.0, value: $0.1) }
    }

    /// The number of field lines.
    package var count: Int { self.fields.count }

    /// Every field line in order.
    package var lines: [(name: String, value: String)] {
        self.fields.map { ($0.name, $0.value) }
    }

    /// The value of the first field with this name; nil when there is none.
    package subscript(name: String) -> String? {
        for field in self.fields where Bytes.equalIgnoringCase(field.name, name) {
            return field.value
        }
        return nil
    }

    /// The values of all fields with this name, in order.
    package func all(_ name: String) -> [String] {
        self.fields.filter { Bytes.equalIgnoringCase($0.name, name) }.map(\.value)
    }

    /// Appends a field line. What cannot be sent is found out when the response is: it becomes a 500.
    package mutating func add(_ name: String, _ value: String) {
        self.fields.append(Field(name: name, value: value))
    }

    /// Replaces every field with this name by one.
    package mutating func set(_ name: String, _ value: String) {
        self.remove(name)
        self.add(name, value)
    }

    /// Removes every field with this name.
    package mutating func remove(_ name: String) {
        self.fields.removeAll { Bytes.equalIgnoringCase($0.name, name) }
    }

    mutating func reserve(_ count: Int) {
        self.fields.reserveCapacity(count)
    }

    /// Appends the field lines in wire form. Throws for a name that is no token and for a value with a control byte:
    /// either would let data from elsewhere write header lines.
    func serialise(into output: inout [UInt8]) throws(HTTPError) {
        for field in self.fields {
            guard !field.name.isEmpty, field.name.utf8.allSatisfy(Bytes.isToken) else {
                throw HTTPError(.invalidResponse, "a response header has an invalid name")
            }
            guard field.value.utf8.allSatisfy(Bytes.isFieldContent) else {
                throw HTTPError(.invalidResponse, "response header \(field.name) has a control byte in its value")
            }
            output.append(contentsOf: field.name.utf8)
            output.append(Bytes.colon)
            output.append(Bytes.space)
            output.append(contentsOf: field.value.utf8)
            output.append(Bytes.carriageReturn)
            output.append(Bytes.lineFeed)
        }
    }
}
