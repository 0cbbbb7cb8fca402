package import Runtime

/// A strict HTTP/1.1 server (RFC 9110, RFC 9112) for a balancer, or a trusted network, in front of it: no TLS, no HTTP/2.
///
/// The reactor's thread accepts, reads and parses. Each request is answered by a task on the global pool, which sends on
/// its connection directly; requests of one connection are answered in order, connections do not wait for each other.
/// Anything ambiguous is refused with 400 and the connection closes, because whoever stands in front may have read it
/// the other way.
package final class HTTPServer: Service {
    /// The name in logs.
    package let name = "http"

    private let loop: ServerLoop
    private let listener = Locked<Socket.Listener?>(nil)

    /// A server that listens once `bind` or `run` is called. `renderError` makes the response of every error: those of
    /// this module (`HTTPError`, also from the parser, then without a request or with an empty body) and those that a
    /// handler throws; it may run on the reactor and must not block.
    package init(
        configuration: HTTPConfiguration,
        router: Router,
        reactor: Reactor,
        log: Logger,
        metrics: Metrics,
        renderError: @escaping @Sendable (any Error, Request?) -> Response
    ) {
        self.loop = ServerLoop(
            configuration: configuration,
            router: router,
            reactor: reactor,
            log: log,
            metrics: metrics,
            renderError: renderError
        )
    }

    /// Listens, so that clients can connect before `run` serves them, and returns the port. Throws `listenFailed`, which
    /// names the address and why. Once it has succeeded, it only returns the port.
    @discardableResult
    package func bind() throws(HTTPError) -> Int {
        let configuration = self.loop.configuration
        return try self.listener.withLock { listener throws(HTTPError) in
            if let listener { return listener.port }
            let fresh = try Socket.listen(host: configuration.host, port: configuration.port)
            listener = fresh
            return fresh.port
        }
    }

    /// Serves until `stop` is raised. Then refuses new connections, closes idle ones, lets requests and streams under way
    /// end within the configured `drain`, and returns when the last task has ended.
    package func run(until stop: StopSignal) async throws {
        try self.bind()
        guard let listener = self.listener.withLock({ $0 }) else { return }
        let ended = OneShot<Void>()
        self.loop.reactor.perform { self.loop.start(listener: listener.descriptor, ended: ended) }
        self.loop.log.info("listening", ["host": .text(self.loop.configuration.host), "port": .count(listener.port)])
        await stop.wait()
        self.loop.reactor.perform { self.loop.stop() }
        await ended.value()
    }
}
