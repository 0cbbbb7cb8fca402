import CRuntime
import Glibc
import Runtime
import TestKit

/// What a proxy does to its connections.
struct Weather: Sendable {
    enum Direction: Sendable, CaseIterable {
        case toServer, toClient
    }

    /// Directions in which nothing arrives; what is sent meanwhile arrives when the direction is opened again, as TCP does.
    var blocked: Set<Direction> = []
    /// How much later everything arrives in both directions together.
    var delay: Duration = .zero
    /// Connections are reset, present and new ones.
    var isCut = false
    /// Of how many requests that may have written one loses its answer, and its connection with it; nil for none.
    var losesAnswer: Int?

    static let fair = Weather()
}

/// What a proxy has done.
struct ProxyCounts: Sendable {
    var connections = 0
    var resets = 0
    /// Times that a direction of a connection had bytes to hold back, seen when it was opened again or ended.
    var held = 0
    var delayed = 0
    var lostAnswers = 0
}

/// One address of PostgreSQL that one replica uses for one kind of session, with faults to order.
actor FaultProxy {
    /// Where it listens, on the loopback interface.
    nonisolated let port: Int
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { self.reactor.asUnownedSerialExecutor() }

    private let listener: Int32
    private let socketPath: String
    private var accepting: Watch?
    private var links: [Int: ProxyLink] = [:]
    private var lastLink = 0
    private var weather = Weather.fair
    private var counts = ProxyCounts()
    private var writes = 0

    /// Listens on a free port and leads to the server's socket in `directory`.
    init(to directory: String, on reactor: Reactor) throws {
        self.reactor = reactor
        self.socketPath = "\(directory)/.s.PGSQL.5432"
        (self.listener, self.port) = try LocalSocket.listen()
        _ = fcntl(self.listener, F_SETFL, O_NONBLOCK)
    }

    func start() {
        self.accepting = self.reactor.watch(self.listener, for: .readable) { [weak self] _ in
            self?.assumeIsolated { $0.accept() }
        }
    }

    /// Ends it with all its connections.
    func stop() {
        self.accepting?.cancel(thenClose: true)
        self.accepting = nil
        for link in self.links.values { self.end(link, reset: false) }
    }

    func change(_ weather: Weather) {
        self.weather = weather
        for link in self.links.values {
            if weather.isCut { self.end(link, reset: true) } else { self.watch(link) }
        }
    }

    var done: ProxyCounts { self.counts }

    private func accept() {
        while true {
            // A descriptor that a replica inherited would keep a connection alive that was ended here.
            let client = crt_accept(self.listener)
            guard client >= 0 else { return }
            self.counts.connections += 1
            guard !self.weather.isCut, let server = self.connect() else {
                self.counts.resets += 1
                ProxyLink.reset(client)
                continue
            }
            self.lastLink += 1
            let link = ProxyLink(number: self.lastLink, client: client, server: server)
            self.links[link.number] = link
            self.watch(link)
        }
    }

    private func connect() -> Int32? {
        let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: self.socketPath.utf8) }
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(server, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else {
            close(server)
            return nil
        }
        _ = fcntl(server, F_SETFL, O_NONBLOCK)
        return server
    }

    /// Watches what may be read and what waits to be written. A blocked side is not watched at all: an end of file that
    /// came meanwhile has not arrived either.
    private func watch(_ link: ProxyLink) {
        for direction in Weather.Direction.allCases {
            let isOpen = !self.weather.blocked.contains(direction)
            let source = link[direction]
            if isOpen, source.watch == nil {
                self.noteHeld(source)
                source.isBlocked = false
                let number = link.number
                source.watch = self.reactor.watch(source.descriptor, for: .readable) { [weak self] _ in
                    self?.assumeIsolated { $0.ready(number, direction) }
                }
            } else if !isOpen {
                source.watch?.cancel()
                source.watch = nil
                source.isBlocked = true
            }
        }
    }

    private func noteHeld(_ source: ProxyLink.Side) {
        if source.isBlocked, source.hasWaiting { self.counts.held += 1 }
    }

    private func ready(_ number: Int, _ direction: Weather.Direction) {
        guard let link = self.links[number], link[direction].watch != nil else { return }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(link[direction].descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return self.end(link, reset: false) }
        let bytes = Array(buffer[..<count])
        switch direction {
        case .toServer:
            for mayWrite in link.scanner.feed(bytes) where mayWrite { self.noteWrite(link) }
        case .toClient:
            if link.losesAnswer { return self.withhold(bytes, link) }
        }
        self.deliver(bytes, link, direction)
    }

    private func noteWrite(_ link: ProxyLink) {
        guard let every = self.weather.losesAnswer else { return }
        self.writes += 1
        if self.writes % every == 0 { link.losesAnswer = true }
    }

    /// Swallows an answer to its end, where the server says that it is ready again: what was asked for is committed.
    private func withhold(_ bytes: [UInt8], _ link: ProxyLink) {
        link.swallowed = Array((link.swallowed + bytes).suffix(6))
        guard link.swallowed.starts(with: [UInt8(ascii: "Z"), 0, 0, 0, 5]) else { return }
        self.counts.lostAnswers += 1
        self.end(link, reset: true)
    }

    private func deliver(_ bytes: [UInt8], _ link: ProxyLink, _ direction: Weather.Direction) {
        let queue = link[direction]
        guard self.weather.delay > .zero || !queue.late.isEmpty else {
            return self.write(bytes, link, direction)
        }
        self.counts.delayed += 1
        queue.late.append(bytes)
        let number = link.number
        // Half of the delay each way. Each timer delivers whatever is first, so the order stays.
        self.reactor.after(self.weather.delay / 2) { [weak self] in
            self?.assumeIsolated { proxy in
                guard let link = proxy.links[number], !link[direction].late.isEmpty else { return }
                proxy.write(link[direction].late.removeFirst(), link, direction)
            }
        }
    }

    private func write(_ bytes: [UInt8], _ link: ProxyLink, _ direction: Weather.Direction) {
        let queue = link[direction]
        queue.waiting += bytes
        let target = link.target(direction)
        while !queue.waiting.isEmpty {
            let count = queue.waiting.withUnsafeBytes { send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                queue.waiting.removeFirst(count)
            } else if errno == EAGAIN {
                // The reader is slow, or stopped. Looked at again soon; there is nothing else to do for it.
                let number = link.number
                self.reactor.after(.milliseconds(5)) { [weak self] in
                    self?.assumeIsolated { proxy in
                        guard let link = proxy.links[number] else { return }
                        proxy.write([], link, direction)
                    }
                }
                return
            } else {
                return self.end(link, reset: false)
            }
        }
    }

    private func end(_ link: ProxyLink, reset: Bool) {
        self.links[link.number] = nil
        if reset { self.counts.resets += 1 }
        for direction in Weather.Direction.allCases {
            let source = link[direction]
            self.noteHeld(source)
            if reset { ProxyLink.resetOnClose(source.descriptor) }
            if let watch = source.watch { watch.cancel(thenClose: true) } else { close(source.descriptor) }
        }
    }
}

/// One connection through a proxy. Touched on the proxy's executor only.
final class ProxyLink {
    /// One direction: where it is read from, and what is on its way.
    final class Side {
        let descriptor: Int32
        var watch: Watch?
        /// Whether what is sent is held back.
        var isBlocked = false
        var late: [[UInt8]] = []
        var waiting: [UInt8] = []

        init(_ descriptor: Int32) {
            self.descriptor = descriptor
        }

        /// Whether bytes have been sent that were not taken yet.
        var hasWaiting: Bool {
            var byte: UInt8 = 0
            return recv(self.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) > 0
        }
    }

    let number: Int
    let toServer: Side
    let toClient: Side
    var scanner = FrontendScanner()
    var losesAnswer = false
    var swallowed: [UInt8] = []

    init(number: Int, client: Int32, server: Int32) {
        self.number = number
        self.toServer = Side(client)
        self.toClient = Side(server)
    }

    subscript(direction: Weather.Direction) -> Side {
        direction == .toServer ? self.toServer : self.toClient
    }

    func target(_ direction: Weather.Direction) -> Int32 {
        direction == .toServer ? self.toClient.descriptor : self.toServer.descriptor
    }

    static func reset(_ descriptor: Int32) {
        self.resetOnClose(descriptor)
        close(descriptor)
    }

    static func resetOnClose(_ descriptor: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }
}
