import CRuntime
import Glibc

/// A child's tree that stands still, until `resume` or the last reference to this is gone.
package final class PausedTree: Sendable {
    /// Of every process that was stopped, parents before their children.
    private let descriptors: [Int32]

    fileprivate init(_ descriptors: [Int32]) {
        self.descriptors = descriptors
    }

    /// Children first, so that no parent that watches its children sees one stopped.
    deinit {
        for descriptor in self.descriptors.reversed() {
            _ = crt_pidfd_send_signal(descriptor, SIGCONT)
            close(descriptor)
        }
    }

    /// Lets the tree go on: what happens when this value is used last.
    package consuming func resume() {}
}

extension ChildProcess {
    /// Stops every process below the launcher with SIGSTOP and returns once none of them runs, or after about 50 ms. Blocks,
    /// so it is not for a reactor. A process that may not be signalled goes on.
    package nonisolated func pause() -> PausedTree {
        var stopped: [Int32: Int32] = [:]
        var order: [Int32] = []
        // Once more after every find: what was about to fork has forked before it stopped.
        var isNew = true
        while isNew, order.count < 4_096 {
            isNew = false
            var queue = ProcessFiles.children(of: self.pid).map { (pid: $0, parent: self.pid) }
            while let (pid, parent) = queue.popLast() {
                if stopped[pid] == nil, let descriptor = Self.stop(pid, childOf: parent) {
                    stopped[pid] = descriptor
                    order.append(pid)
                    isNew = true
                }
                queue += ProcessFiles.children(of: pid).map { (pid: $0, parent: pid) }
            }
        }
        let deadline = ContinuousClock.now + .milliseconds(50)
        while order.contains(where: ProcessFiles.isRunning), ContinuousClock.now < deadline { usleep(200) }
        return PausedTree(order.compactMap { stopped[$0] })
    }

    /// A descriptor of the process that was stopped; nil when it is not, or no longer, what it was taken for.
    private static func stop(_ pid: Int32, childOf parent: Int32) -> Int32? {
        let descriptor = crt_pidfd_open(pid)
        guard descriptor >= 0 else { return nil }
        // The number was looked up before the descriptor was had, and may have been given to a stranger in between.
        guard ProcessFiles.parent(of: pid) == parent, crt_pidfd_send_signal(descriptor, SIGSTOP) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }
}
