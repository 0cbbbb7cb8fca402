import Runtime

/// One request and what its response depends on.
struct Exchange: Sendable {
    let number: Int
    let request: Request
    let outcome: Router.Outcome
    /// Whether the client wants to go on.
    let keepsAlive: Bool
    let minorVersion: Int
    let gone: StopSignal
    let arrived: ContinuousClock.Instant

    /// The route's pattern, for metrics: a closed set, unlike paths.
    var label: String {
        if case .route(let route, _) = self.outcome { route.pattern } else { "none" }
    }

    /// Has the request answered.
    func answer() async throws -> Response {
        if let refusal = self.outcome.refusal { throw refusal }
        switch self.outcome {
        case .route(let route, _): return try await route.action(self.request)
        case .options(let allow): return Response(status: 204, headers: ["Allow": allow])
        case .notFound, .methodNotAllowed: throw HTTPError(.notFound, "no such resource")
        }
    }
}

// What runs in the task of a request, off the reactor: it touches the connection only through its lock.
extension Connection {
    /// Makes the response, sends it and reports back.
    func serve(_ exchange: Exchange) async {
        var response: Response
        do {
            response = try await exchange.answer()
        } catch {
            response = self.loop.render(error, exchange.request)
        }
        response = self.loop.router.finish(response, exchange.request)
        let isWhole: Bool
        switch response.body {
        case .bytes(let bytes): isWhole = self.deliver(&response, bytes, exchange)
        case .stream(let body): isWhole = await self.deliver(&response, streamedBy: body, exchange)
        }
        let keepsAlive = isWhole && self.keepsAlive(response, exchange)
        self.loop.count(exchange, response)
        self.loop.reactor.perform { self.served(exchange, keepsAlive: keepsAlive) }
    }

    private func keepsAlive(_ response: Response, _ exchange: Exchange) -> Bool {
        guard exchange.keepsAlive, !self.loop.isDraining else { return false }
        if case .stream = response.body, exchange.minorVersion == 0 { return false }
        return true
    }

    private func head(_ response: Response, _ framing: ResponseHead.Framing, _ exchange: Exchange) -> ResponseHead {
        let keepsAlive = self.keepsAlive(response, exchange)
        let persistence = exchange.minorVersion == 0 ? "keep-alive" : nil
        return ResponseHead(
            status: response.status,
            headers: response.headers,
            framing: framing,
            date: self.loop.date.now(),
            requestID: exchange.request.id,
            connection: keepsAlive ? persistence : "close"
        )
    }

    /// Sends a response at hand. Returns whether the connection can be used again.
    private func deliver(_ response: inout Response, _ bytes: [UInt8], _ exchange: Exchange) -> Bool {
        let isBodiless = response.status == 204 || response.status == 304
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + 512)
        do throws(HTTPError) {
            try self.head(response, isBodiless ? .none : .length(bytes.count), exchange).serialise(into: &output)
        } catch {
            response = self.loop.unsendable(error, exchange.request)
            output = self.loop.serialised(response, exchange.request.id)
            _ = self.push(output, exchange: exchange.number)
            return false
        }
        if !isBodiless, exchange.request.method != "HEAD" { output.append(contentsOf: bytes) }
        return self.push(output, exchange: exchange.number) != .gone
    }

    /// Sends a response that comes into being. Returns whether it is whole and the connection can be used again.
    private func deliver(
        _ response: inout Response,
        streamedBy body: @Sendable (ResponseWriter) async throws -> Void,
        _ exchange: Exchange
    ) async -> Bool {
        let isBodiless = response.status == 204 || response.status == 304 || exchange.request.method == "HEAD"
        let framing: ResponseHead.Framing = exchange.minorVersion == 1 ? .chunked : .close
        var output: [UInt8] = []
        do throws(HTTPError) {
            try self.head(response, isBodiless ? .none : framing, exchange).serialise(into: &output)
        } catch {
            response = self.loop.unsendable(error, exchange.request)
            _ = self.push(self.loop.serialised(response, exchange.request.id), exchange: exchange.number)
            return false
        }
        guard self.push(output, exchange: exchange.number) != .gone else { return false }
        if isBodiless { return true }
        do {
            try await body(ResponseWriter(connection: self, exchange: exchange, chunked: framing == .chunked))
        } catch {
            // The response breaks off without its last chunk, by which the client knows.
            self.loop.logBroken(error, exchange.request)
            return false
        }
        let end = framing == .chunked ? Array("0\r\n\r\n".utf8) : []
        return self.push(end, exchange: exchange.number, last: true) != .gone
    }
}
