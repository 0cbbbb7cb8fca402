import Glibc
import Runtime

/// The socket calls of the server.
enum Socket {
    /// A listening socket: its descriptor and its port.
    struct Listener {
        let descriptor: Int32
        let port: Int
    }

    /// Connections that the kernel makes and keeps until they are accepted.
    static let backlog: Int32 = 1024

    /// Listens on an IPv4 or IPv6 literal, or on `localhost`.
    static func listen(host: String, port: UInt16) throws(HTTPError) -> Listener {
        let literal = host == "localhost" ? "127.0.0.1" : host
        do {
            var four = sockaddr_in()
            if inet_pton(AF_INET, literal, &four.sin_addr) == 1 {
                four.sin_family = sa_family_t(AF_INET)
                four.sin_port = port.bigEndian
                return try self.listen(AF_INET, four, port: \.sin_port)
            }
            var six = sockaddr_in6()
            let bare =
                literal.hasPrefix("[") && literal.hasSuffix("]") ? String(literal.dropFirst().dropLast()) : literal
            if inet_pton(AF_INET6, bare, &six.sin6_addr) == 1 {
                six.sin6_family = sa_family_t(AF_INET6)
                six.sin6_port = port.bigEndian
                return try self.listen(AF_INET6, six, port: \.sin6_port)
            }
        } catch {
            let name = error.number == EADDRINUSE ? " (EADDRINUSE: another process listens there)" : ""
            throw HTTPError(.listenFailed, "cannot listen on \(host) port \(port)\(name)", cause: error)
        }
        throw HTTPError(.listenFailed, "cannot listen on \(host): neither an IPv4 nor an IPv6 address")
    }

    private static func listen<Address>(
        _ family: Int32,
        _ address: Address,
        port: KeyPath<Address, in_port_t>
    ) throws(SystemError) -> Listener {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = try SystemError.check("socket", socket(family, kind, 0))
        do {
            self.set(descriptor, SOL_SOCKET, SO_REUSEADDR)
            var address = address
            var length = socklen_t(MemoryLayout<Address>.size)
            try SystemError.check("bind", self.with(&address) { bind(descriptor, $0, length) })
            try SystemError.check("listen", Glibc.listen(descriptor, self.backlog))
            try SystemError.check("getsockname", self.with(&address) { getsockname(descriptor, $0, &length) })
            return Listener(descriptor: descriptor, port: Int(in_port_t(bigEndian: address[keyPath: port])))
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Switches off the delay by which small writes wait for acknowledgements.
    static func sendAtOnce(_ descriptor: Int32) {
        self.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
    }

    /// The address at the other end, without its port; empty when it has left already.
    static func peer(of descriptor: Int32) -> String {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard self.with(&storage, { getpeername(descriptor, $0, &length) }) == 0 else { return "" }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = self.with(&storage) {
            getnameinfo($0, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        }
        guard code == 0 else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) {
        var one: Int32 = 1
        setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func with<Address, Result>(
        _ address: inout Address,
        _ body: (UnsafeMutablePointer<sockaddr>) -> Result
    ) -> Result {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
        }
    }
}
