import Glibc
import Runtime

/// Whether a port of this machine can be listened on.
enum LocalPort {
    /// Tries it and gives it back at once; nil when it is free, else why not.
    static func problem(_ address: Configuration.Address) -> String? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(self.literal(address), String(address.port), &hints, &found)
        guard status == 0, let first = found else { return "neither an IPv4 nor an IPv6 address" }
        defer { freeaddrinfo(found) }
        let descriptor = socket(first.pointee.ai_family, first.pointee.ai_socktype, first.pointee.ai_protocol)
        guard descriptor >= 0 else { return SystemError.last("socket").description }
        defer { close(descriptor) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            return SystemError.last("bind").description
        }
        // Two may bind with SO_REUSEADDR; only one may listen.
        guard listen(descriptor, 1) == 0 else { return SystemError.last("listen").description }
        return nil
    }

    /// Whether the server takes the host: an address, or `localhost`; a name would have to be looked up.
    static func isLiteral(_ address: Configuration.Address) -> Bool {
        var (four, six) = (in_addr(), in6_addr())
        let host = self.literal(address)
        return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
    }

    private static func literal(_ address: Configuration.Address) -> String {
        address.host == "localhost" ? "127.0.0.1" : address.host
    }

    /// The first free port from `address` on, within a hundred; the address's own when none is free.
    static func firstFree(from address: Configuration.Address) -> Configuration.Address {
        for offset in 0..<100 {
            var next = address
            next.port += offset
            if self.problem(next) == nil { return next }
        }
        return address
    }
}
