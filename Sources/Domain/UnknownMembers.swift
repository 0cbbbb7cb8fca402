/// Refuses members that nobody reads: a misspelt setting must not pass in silence.
package enum UnknownMembers {
    private struct AnyMember: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) {
            self.stringValue = stringValue
        }

        init?(intValue: Int) {
            nil
        }
    }

    /// Throws a decoding error that names the first member outside `known`.
    package static func refuse(in decoder: any Decoder, known: [String]) throws {
        let all = try decoder.container(keyedBy: AnyMember.self)
        let unknown = all.allKeys.map(\.stringValue).filter { !known.contains($0) }.sorted()
        guard let first = unknown.first else { return }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(
                codingPath: decoder.codingPath + [AnyMember(stringValue: first)],
                debugDescription: "unknown member"
            )
        )
    }
}
