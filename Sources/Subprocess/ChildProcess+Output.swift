internal import CRuntime
import Glibc

extension ChildProcess {
    /// The next piece of standard output; nil at its end, which is the end of file or, when another process still holds
    /// the pipe, 200 ms after the exit. For one reader at a time.
    ///
    /// Nothing is read ahead of the reader but 256 KiB and the line under way. Throws `lineTooLong`, then and on every
    /// further call, after which nothing is read any more; throws `CancellationError` when cancelled while it waits.
    package func nextOutput() async throws -> Output? {
        while true {
            try Task.checkCancellation()
            switch self.output.next() {
            case .output(let output):
                return output
            case .ended:
                return nil
            case .tooLong:
                self.outputStream?.close()
                self.outputStream = nil
                throw SubprocessError(.lineTooLong, "process \(self.pid) wrote a line over its bound")
            case .starved:
                if self.outputHasMore {
                    self.readOutput()
                } else {
                    await self.waitForOutput()
                }
            }
        }
    }

    private func waitForOutput() async {
        precondition(self.outputWaiter == nil, "output has one reader at a time")
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                self.outputWaiter = continuation
                // A cancellation that came before the line above found nobody to wake.
                if Task.isCancelled { self.wakeReader() }
            }
        } onCancel: {
            self.perform { $0.wakeReader() }
        }
    }

    func wakeReader() {
        self.outputWaiter?.resume()
        self.outputWaiter = nil
    }

    func outputIsReady() {
        self.readOutput()
        self.wakeReader()
    }

    /// Reads until the pipe is empty, at its end, or the buffer is full.
    func readOutput() {
        self.outputHasMore = false
        while let stream = self.outputStream {
            let room = self.output.room
            guard room > 0 else {
                self.outputHasMore = true
                return
            }
            let count = Self.read(stream.descriptor, atMost: room) { self.output.append($0) }
            if count > 0 { continue }
            if count == 0 || crt_errno() != EINTR && crt_errno() != EAGAIN {
                self.finishOutput()
            } else if crt_errno() == EAGAIN {
                if self.isDrained { self.finishOutput() }
                return
            }
        }
    }

    /// No more will be read; what was read can still be asked for.
    func finishOutput() {
        self.outputStream?.close()
        self.outputStream = nil
        self.outputHasMore = false
        self.output.end()
    }

    /// Reads what is there of standard error, at most 256 KiB at a time so that a flood does not keep others waiting.
    func readErrors() {
        for _ in 0..<4 {
            guard let stream = self.errorStream else { return }
            let count = Self.read(stream.descriptor, atMost: 64 * 1024) { self.errors.append($0) }
            if count > 0 { continue }
            if count < 0 && crt_errno() == EINTR { continue }
            if count < 0 && crt_errno() == EAGAIN { return }
            self.finishErrors()
        }
    }

    func finishErrors() {
        self.errorStream?.close()
        self.errorStream = nil
    }

    /// read(2) into a temporary; `body` gets what was read.
    private static func read(
        _ descriptor: Int32,
        atMost limit: Int,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) -> Int {
        withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 16) { buffer in
            let count = Glibc.read(descriptor, buffer.baseAddress, min(limit, buffer.count))
            if count > 0 { body(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            return count
        }
    }
}
