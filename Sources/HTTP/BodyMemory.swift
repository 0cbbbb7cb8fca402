/// What the bodies under way take of a listener's memory.
///
/// A body is let in only when it fits beside the others, with the length that it says it has, so that one that was let in
/// can always come to its end; a chunked one does not say, and is counted as it grows.
struct BodyMemory {
    let limit: Int
    private(set) var taken = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes what a body that has taken `held` lacks of `bytes`, and returns what it has then. Throws 503 where there is
    /// no room, and takes nothing.
    mutating func grow(_ held: Int, to bytes: Int) throws(HTTPError) -> Int {
        guard bytes > held else { return held }
        guard self.taken + bytes - held <= self.limit else {
            throw HTTPError(.unavailable, "too many requests bring too much at once", headers: ["Retry-After": "1"])
        }
        self.taken += bytes - held
        return bytes
    }

    mutating func release(_ held: Int) {
        self.taken -= held
    }
}
