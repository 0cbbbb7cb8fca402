import Crypto
package import Domain

/// Generated identities.
package enum NewID {
    /// A time-ordered UUID (version 7): neighbours in time are neighbours in an index.
    package static func make<Kind>(_ type: UniqueID<Kind>.Type = UniqueID<Kind>.self) throws(IdentityFailure)
        -> UniqueID<Kind>
    {
        guard let id = UniqueID<Kind>(UUIDText.timeOrdered()) else { throw IdentityFailure() }
        return id
    }

    /// A nonce: 122 random bits, in which no time may show.
    static func nonce() throws(IdentityFailure) -> Nonce {
        guard let nonce = Nonce(UUIDText.random()) else { throw IdentityFailure() }
        return nonce
    }
}

/// The system gave no usable randomness.
package struct IdentityFailure: Error, Sendable {}
