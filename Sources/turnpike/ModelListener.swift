import API
import Domain
import Foundation
import Gateway
import HTTP
import Runtime

/// The listener on which workers reach their models, with its own thread: what they do there must not delay clients.
struct ModelListener: Sendable {
    /// The listener itself.
    let server: HTTPServer
    private let client: UpstreamClient

    /// Listens, and has workers told where. Nil where no upstreams are configured.
    static func open(
        _ configuration: Configuration,
        gateway: Gateway,
        log: Logger,
        metrics: Metrics
    ) throws -> ModelListener? {
        guard let upstreams = try self.upstreams(configuration) else { return nil }
        let reactor = try Reactor(name: "models")
        let client = UpstreamClient(reactor: reactor)
        let proxy = ModelProxy(gateway: gateway, upstreams: upstreams, client: client, log: log, metrics: metrics)
        var http = HTTPConfiguration()
        http.host = configuration.proxyListen.host
        http.port = UInt16(clamping: configuration.proxyListen.port)
        http.bodyMemory = configuration.bodyMemory
        http.bodyLimit = gateway.configuration.limits.modelBodyBytes
        let server = HTTPServer(
            configuration: http,
            router: proxy.router(),
            reactor: reactor,
            log: log,
            // The server's own figures are those of clients; calls are counted by the proxy.
            metrics: Metrics(),
            renderError: { error, request in proxy.renderError(error, request) }
        )
        let port = try server.bind()
        let host = ["0.0.0.0", "::"].contains(http.host) ? "127.0.0.1" : http.host
        let address = "http://\(Configuration.Address(host: host, port: port))"
        gateway.offerModels(at: address)
        log.info("models are offered to workers", ["address": .text(address), "upstreams": .count(upstreams.count)])
        return ModelListener(server: server, client: client)
    }

    /// Lets go of the connections to upstreams; after the server has stopped.
    func close() async {
        await self.client.close()
    }

    /// What the file of upstreams says, keys read; nil where none is configured.
    static func upstreams(_ configuration: Configuration) throws(CommandFailure) -> [String: ModelProxy.Keyed]? {
        guard let path = configuration.upstreams else { return nil }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw CommandFailure(.usage, "\(Setting.upstreams.flag): cannot read \(path)")
        }
        return try UpstreamFile.parse(path, text, environment: ProcessInfo.processInfo.environment) { file in
            try String(contentsOfFile: file, encoding: .utf8)
        }
    }
}
