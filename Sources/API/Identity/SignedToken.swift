import Crypto
import Domain

/// Why a token of an identity provider is refused. For the log: a client is told only that it is.
enum TokenFlaw: Error, Hashable, Sendable {
    case tooLong, notThreeParts, notBase64
    case notJSON(String)
    /// A header that has to be understood (RFC 7515 section 4.1.11), and is not.
    case critical
    case algorithm(String)
    case type(String)
    case unknownKey
    case signature
    case claim(String)
    case expired, notYetValid
    case organization
}

/// A JSON Web Token in the compact form (RFC 7515 section 7.1), taken apart and not yet believed.
///
/// Of its header only the algorithm, the type and the key's name are read. A key that comes with it (`jwk`, `x5c`), or
/// an address of one (`jku`, `x5u`), is nothing to anybody here.
struct SignedToken: Sendable {
    private static let longest = 8_192
    private static let types: Set<String> = ["jwt", "at+jwt", "application/at+jwt"]

    let algorithm: VerificationKey.Algorithm
    /// The name of the key; nil where the token names none.
    let keyID: String?
    private let payload: [UInt8]
    private let signature: [UInt8]
    /// What was signed: header and payload as they came.
    private let message: [UInt8]

    /// Whether `text` could be one: an API token holds no dot.
    static func isLikely(_ text: String) -> Bool {
        text.utf8.contains(UInt8(ascii: "."))
    }

    init(_ text: String) throws(TokenFlaw) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.longest else { throw .tooLong }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .notThreeParts }
        guard let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { throw .notBase64 }
        let members = try Self.object(header)
        guard members["crit"] == nil else { throw .critical }
        guard let name = members["alg"]?.text else { throw .algorithm("none") }
        guard let algorithm = VerificationKey.Algorithm(rawValue: name) else { throw .algorithm(name) }
        if let type = members["typ"] {
            guard let type = type.text, Self.types.contains(type.lowercased()) else { throw .type(type.text ?? "") }
        }
        if let id = members["kid"], id.text == nil { throw .unknownKey }
        self.algorithm = algorithm
        self.keyID = members["kid"]?.text
        self.payload = payload
        self.signature = signature
        self.message = Array(bytes[..<parts[1].endIndex])
    }

    /// The claims, once `key` has vouched for them.
    func claims(signedBy key: VerificationKey) throws(TokenFlaw) -> [String: JSONValue] {
        guard key.algorithm == self.algorithm else { throw .algorithm(self.algorithm.rawValue) }
        guard key.verifies(self.signature, of: self.message) else { throw .signature }
        return try Self.object(self.payload)
    }

    /// The strict reader refuses what two readers could understand in two ways: a member that occurs twice, text after
    /// the value.
    private static func object(_ bytes: [UInt8]) throws(TokenFlaw) -> [String: JSONValue] {
        do throws(JSONFailure) {
            guard case .object(let members) = try JSONReader.read(bytes) else { throw JSONFailure("is no object") }
            return members
        } catch {
            throw .notJSON(error.problem)
        }
    }
}
