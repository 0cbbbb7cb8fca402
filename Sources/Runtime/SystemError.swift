internal import CRuntime
import Glibc

/// A system call that failed: which one, and with which errno.
package struct SystemError: Error, Hashable, CustomStringConvertible, Sendable {
    /// The name of the call, as in its manual page.
    package let call: String
    /// The errno it left.
    package let number: Int32

    package init(call: String, number: Int32) {
        self.call = call
        self.number = number
    }

    /// The error of `call` that has just failed on this thread.
    package static func last(_ call: String) -> SystemError {
        SystemError(call: call, number: crt_errno())
    }

    /// Passes `result` on unless it is the -1 by which `call` reports failure.
    @discardableResult
    package static func check(_ call: String, _ result: Int32) throws(SystemError) -> Int32 {
        guard result != -1 else { throw .last(call) }
        return result
    }

    package var description: String {
        "\(self.call): \(String(cString: strerror(self.number)))"
    }
}
