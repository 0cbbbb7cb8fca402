import Glibc
internal import Runtime

/// Loopback TCP.
package enum LocalSocket {
    /// A connected descriptor.
    package static func connect(port: Int) throws -> Int32 {
        let descriptor = try self.make()
        var address = self.address(port)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            let error = SystemError.last("connect")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// A descriptor that listens on a free port, and the port.
    package static func listen() throws -> (descriptor: Int32, port: Int) {
        let descriptor = try self.make()
        var address = self.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, length) == 0 && Glibc.listen(descriptor, 128) == 0
                    ? getsockname(descriptor, raw, &length) : -1
            }
        }
        try SystemError.check("bind", code)
        return (descriptor, Int(in_port_t(bigEndian: address.sin_port)))
    }

    /// A port that was free just now.
    package static func freePort() throws -> Int {
        let (descriptor, port) = try self.listen()
        close(descriptor)
        return port
    }

    private static func make() throws -> Int32 {
        try SystemError.check("socket", socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        return address
    }
}
