import Glibc
import Runtime

/// Threads for what blocks in tests: the pool of tasks has two threads on a small machine, and handlers need them.
let blocking = BlockingPool(threads: 16)

/// A blocking TCP client that sends any bytes, for use on `blocking` only.
///
/// Not sendable: each test keeps its client inside one closure.
final class RawClient {
    let descriptor: Int32

    /// Connects to a loopback port; `receiveBuffer` keeps the kernel from taking more than about that many bytes.
    init(port: Int, receiveBuffer: Int32? = nil) throws {
        self.descriptor = try SystemError.check(
            "socket",
            socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        )
        if var size = receiveBuffer {
            setsockopt(self.descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            // Closed by `deinit`, which runs for an initializer that throws with everything set: closed here as well, the
            // number might be another connection's by then.
            throw SystemError.last("connect")
        }
        var one: Int32 = 1
        setsockopt(self.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    deinit {
        close(self.descriptor)
    }

    /// Sends everything; false when the peer does not take it.
    @discardableResult
    func send(_ bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(self.descriptor, raw.baseAddress?.advanced(by: sent), raw.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool {
        self.send(text.utf8)
    }

    /// What one receive brings within `milliseconds`: nil when nothing came, empty at the end or after a reset.
    func receiveSome(within milliseconds: Int32) -> [UInt8]? {
        var poll = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, milliseconds) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(self.descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : []
    }

    /// Everything until the peer closes, or until `milliseconds` pass.
    func receiveAll(within milliseconds: Int = 5000) -> (text: String, closed: Bool) {
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        var bytes: [UInt8] = []
        while true {
            let left = (deadline - .now).milliseconds
            guard left > 0 else { return (String(decoding: bytes, as: UTF8.self), false) }
            guard let some = self.receiveSome(within: Int32(left)) else { continue }
            if some.isEmpty { return (String(decoding: bytes, as: UTF8.self), true) }
            bytes += some
        }
    }

    /// Receives until the text so far satisfies `condition`, the peer closes, or `milliseconds` pass.
    func receive(within milliseconds: Int = 5000, until condition: (String) -> Bool) -> String {
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        var bytes: [UInt8] = []
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            let left = (deadline - .now).milliseconds
            guard !condition(text), left > 0 else { return text }
            guard let some = self.receiveSome(within: Int32(left)) else { continue }
            if some.isEmpty { return text }
            bytes += some
        }
    }

    /// Shuts the writing side.
    func halfClose() {
        shutdown(self.descriptor, Int32(SHUT_WR))
    }

    /// Makes the closing of the socket a reset.
    func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int {
        let (seconds, attoseconds) = self.components
        return Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    }
}
