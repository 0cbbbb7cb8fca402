internal import CPostgres

/// Questions about a server that need no session.
package enum PostgresServer {
    /// Whether the server accepts connections (`PQping`). Blocks for at most `connect_timeout` of the connection
    /// string: call it on a blocking pool.
    package static func ping(_ conninfo: String) -> Bool {
        PQping(conninfo) == PQPING_OK
    }
}
