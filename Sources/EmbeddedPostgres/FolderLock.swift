internal import Foundation
import Runtime

/// An exclusive `flock` on a file: held until `release`, and gone with the process, however that ends.
struct FolderLock {
    private let descriptor: Int32

    /// Takes the lock, waiting for its holder until `deadline`. Throws `busy` or `unusableDirectory`.
    init(_ path: String, until deadline: ContinuousClock.Instant) throws(EmbeddedPostgresError) {
        let descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let cause = SystemError.last("open")
            throw EmbeddedPostgresError(.unusableDirectory, "cannot open \(path)", cause: cause)
        }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard ContinuousClock.now < deadline else {
                close(descriptor)
                throw EmbeddedPostgresError(.busy, "another process holds \(path)")
            }
            usleep(10_000)
        }
        self.descriptor = descriptor
    }

    func release() {
        close(self.descriptor)
    }
}
