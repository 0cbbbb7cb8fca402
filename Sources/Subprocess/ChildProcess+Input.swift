internal import CRuntime
import Glibc

extension ChildProcess {
    /// Queues `bytes` for the child's standard input and waits while more than 256 KiB are queued. Writes of several
    /// tasks do not mix. Throws `inputClosed` when the input is closed or the child closed its side; when cancelled
    /// while it waits, what was queued stays queued.
    package func write(_ bytes: [UInt8]) async throws {
        try Task.checkCancellation()
        guard self.inputStream != nil, !self.input.isClosing else { throw self.inputIsClosed() }
        self.input.append(bytes)
        self.flushInput()
        while self.input.count > Self.inputCapacity {
            try Task.checkCancellation()
            await self.waitForInputRoom()
        }
        guard self.inputStream != nil || self.input.isClosing else { throw self.inputIsClosed() }
    }

    /// Closes the child's standard input once everything queued has been written.
    package func closeInput() {
        guard self.inputStream != nil else { return }
        self.input.close()
        self.flushInput()
    }

    private func inputIsClosed() -> SubprocessError {
        let state = self.exitStatus.map { "it \($0)" } ?? "it no longer reads"
        return SubprocessError(.inputClosed, "the input of process \(self.pid) is closed: \(state)")
    }

    private func waitForInputRoom() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                self.inputWaiters.append(continuation)
                // A cancellation that came before the line above found nobody to wake.
                if Task.isCancelled { self.wakeWriters() }
            }
        } onCancel: {
            self.perform { $0.wakeWriters() }
        }
    }

    private func wakeWriters() {
        let waiters = self.inputWaiters
        self.inputWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Writes what the pipe takes.
    func flushInput() {
        guard let stream = self.inputStream else { return }
        while self.input.count > 0 {
            let count = self.input.withBytes { Glibc.write(stream.descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                self.input.wrote(count)
            } else if crt_errno() == EAGAIN {
                break
            } else if crt_errno() != EINTR {
                self.dropInput()
                return
            }
        }
        if self.input.count == 0, self.input.isClosing {
            self.dropInput()
        } else if self.input.count <= Self.inputCapacity {
            self.wakeWriters()
        }
    }

    /// Closes the input, and forgets what could not be written.
    func dropInput() {
        self.inputStream?.close()
        self.inputStream = nil
        self.input.discard()
        self.wakeWriters()
    }
}
