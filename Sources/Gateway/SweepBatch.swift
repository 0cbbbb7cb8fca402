import Postgres

/// How many turns are ended, or conversations freed, in one transaction: half as many after one that was not over in time,
/// since the same again would not be either, and twice as many after each that was.
struct SweepBatch {
    private let most: Int
    private(set) var limit: Int

    init(most: Int) {
        (self.most, self.limit) = (most, most)
    }

    /// Runs `body` with the limit of this moment.
    mutating func run<Value>(_ body: (Int) async throws -> Value) async throws -> Value {
        do {
            let value = try await body(self.limit)
            self.limit = min(self.most, self.limit * 2)
            return value
        } catch let error as PostgresError where error.tookTooLong {
            self.limit = max(1, self.limit / 2)
            throw error
        }
    }
}
