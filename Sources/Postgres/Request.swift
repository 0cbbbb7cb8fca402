import Runtime

/// What a request asks of the server.
enum Work: Sendable {
    /// A pipeline with one Sync.
    case statements([Query])
    /// A script by the simple protocol.
    case script(String)

    var summary: String? {
        switch self {
        case .statements(let queries): queries.first?.summary
        case .script(let sql): Query.summary(of: sql)
        }
    }
}

/// The answer to a request.
struct Reply: Sendable {
    let results: [ResultSet]
    /// Whether no transaction is open after it.
    let isIdle: Bool
}

/// One request from the queue to its answer. Lives inside its connection's isolation.
final class Request {
    /// Why the connection asked the server to stop a request.
    enum Interruption {
        case cancelled, deadline
    }

    /// One message sequence of the pipeline, in the order in which answers come.
    enum Step {
        case prepare(sql: String, name: String)
        case deallocate
        case execute(Int)
        case sync
    }

    let id: UInt64
    let work: Work
    var steps: [Step] = []
    var cursor = 0
    var results: [ResultSet] = []
    var failure: PostgresError?
    /// Which statement failed, if one did.
    var failedStatement: Int?
    /// The server forgot, or no longer accepts, a prepared statement; nothing is wrong with the request.
    var staleness: Staleness?
    var interruption: Interruption?
    /// The server said that it stopped waiting for its standby during a commit.
    var isDoubtful = false
    var hasBeenRetried = false
    var startedIdle = true
    var timer: ReactorTimer?
    private var continuation: CheckedContinuation<Reply, any Error>?

    enum Staleness {
        /// 26000: the session is not the one that prepared the statement.
        case unknownStatement
        /// The tables underneath have changed their shape.
        case changedResult
    }

    init(id: UInt64, work: Work, continuation: CheckedContinuation<Reply, any Error>) {
        self.id = id
        self.work = work
        self.continuation = continuation
    }

    func prepareRetry() {
        self.steps = []
        self.cursor = 0
        self.results = []
        self.failure = nil
        self.failedStatement = nil
        self.staleness = nil
        self.hasBeenRetried = true
    }

    func resume(returning reply: Reply) {
        self.timer?.cancel()
        self.continuation?.resume(returning: reply)
        self.continuation = nil
    }

    func resume(throwing error: any Error) {
        self.timer?.cancel()
        self.continuation?.resume(throwing: error)
        self.continuation = nil
    }
}
