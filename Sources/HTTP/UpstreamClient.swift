internal import CCurlShim
package import Runtime

/// Sends requests to other servers and streams their answers, over libcurl's multi interface on a reactor: no thread and no
/// poll for each. HTTP/1.1; connections are kept for later requests; redirects are not followed; no proxy is asked; the
/// certificates of `https` are checked.
///
/// `@unchecked Sendable`: every variable belongs to the reactor's thread.
package final class UpstreamClient: @unchecked Sendable {
    private static let isPrepared = ccs_prepare() == 0

    let reactor: Reactor
    private var multi: OpaquePointer?
    private var watches: [Int32: (watch: Watch, interest: Int32)] = [:]
    private var alarm: ReactorTimer?
    /// libcurl is on the stack: what calls back now must not call in.
    private var isInside = false
    private var transfers: [ObjectIdentifier: UpstreamTransfer] = [:]

    /// Works on `reactor`, to which it belongs until `close`.
    package init(reactor: Reactor) {
        precondition(Self.isPrepared, "libcurl cannot start")
        self.reactor = reactor
    }

    /// Sends `request` and returns once the head of its answer is there. Throws `UpstreamError`, also when the calling task
    /// is cancelled.
    package func send(_ request: UpstreamRequest) async throws -> UpstreamResponse {
        let transfer = UpstreamTransfer(request, client: self)
        transfer.heedStop()
        self.reactor.perform { self.begin(transfer) }
        return try await transfer.response()
    }

    /// Ends what is under way and lets go of libcurl. Nothing may be sent afterwards.
    package func close() async {
        let closed = OneShot<Void>()
        self.reactor.perform {
            for transfer in self.transfers.values {
                transfer.fail(UpstreamError(.cancelled, "the gateway is leaving"))
            }
            self.alarm?.cancel()
            if let multi = self.multi { self.inside { ccs_multi_free(multi) } }
            self.multi = nil
            closed.resolve(())
        }
        await closed.value()
    }

    // MARK: - On the reactor's thread

    private func begin(_ transfer: UpstreamTransfer) {
        guard !transfer.isOver else { return }
        guard let multi = self.multi ?? self.open() else {
            return transfer.fail(UpstreamError(.broken, "libcurl has no memory"))
        }
        self.transfers[ObjectIdentifier(transfer)] = transfer
        self.inside { transfer.handle = Self.order(transfer, of: multi) }
        guard transfer.handle != nil else {
            return transfer.fail(UpstreamError(.broken, "libcurl does not take the request"))
        }
        transfer.watchHead()
    }

    /// Its callbacks find the client without keeping it: it outlives the multi, which it closes.
    private func open() -> OpaquePointer? {
        var hooks = ccs_hooks(
            context: Unmanaged.passUnretained(self).toOpaque(),
            watch: upstreamWatch,
            alarm: upstreamAlarm
        )
        self.multi = ccs_multi_make(&hooks)
        return self.multi
    }

    private static func order(_ transfer: UpstreamTransfer, of multi: OpaquePointer) -> OpaquePointer? {
        let request = transfer.request
        // Without these two libcurl asks before it sends much, and says of forms what is not so.
        var lines = ["Expect:"] + (request.headers["Content-Type"] == nil ? ["Content-Type:"] : [])
        lines += request.headers.lines.map { "\($0.name): \($0.value)" }
        // A transfer that libcurl has is in `transfers`, which keeps it.
        var sink = ccs_sink(
            context: Unmanaged.passUnretained(transfer).toOpaque(),
            line: upstreamLine,
            body: upstreamBody,
            end: upstreamEnd
        )
        return self.withStrings(lines) { headers in
            (request.body ?? []).withUnsafeBufferPointer { body in
                request.method.withCString { method in
                    request.url.withCString { url in
                        self.withOptional(request.certificates) { certificates in
                            var order = ccs_order()
                            (order.method, order.url, order.headers) = (method, url, headers)
                            if request.body != nil {
                                order.body = body.baseAddress.map {
                                    UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)
                                }
                                order.body_count = body.count
                            }
                            order.certificates = certificates
                            order.connect_milliseconds = Int(request.connectTime / .milliseconds(1))
                            return ccs_transfer_begin(multi, &order, &sink)
                        }
                    }
                }
            }
        }
    }

    private static func withOptional<Value>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Value) -> Value {
        guard let text else { return body(nil) }
        return text.withCString { body($0) }
    }

    private static func withStrings<Value>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Value
    ) -> Value {
        let ends = strings.indices.reduce(into: [0]) { $0.append($0[$0.count - 1] + strings[$1].utf8.count + 1) }
        let text: [CChar] = strings.flatMap { $0.utf8.map { CChar(bitPattern: $0) } + [0] }
        return text.withUnsafeBufferPointer { text in
            let pointers = ends.dropLast().map { text.baseAddress?.advanced(by: $0) } + [nil]
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }

    /// Has a transfer brought what its reader had no room for.
    func resume(_ transfer: UpstreamTransfer) {
        self.reactor.perform {
            guard let handle = transfer.handle else { return }
            self.inside { ccs_transfer_resume(handle) }
        }
    }

    /// Takes a transfer away from libcurl.
    func drop(_ transfer: UpstreamTransfer) {
        self.whenOutside {
            if let handle = transfer.handle { self.inside { ccs_transfer_drop(handle) } }
            self.forget(transfer)
        }
    }

    fileprivate func forget(_ transfer: UpstreamTransfer) {
        transfer.handle = nil
        self.transfers[ObjectIdentifier(transfer)] = nil
    }

    /// On the reactor, and not from within libcurl.
    private func whenOutside(_ body: @escaping @Sendable () -> Void) {
        self.reactor.perform {
            if self.isInside { self.reactor.after(.zero, body) } else { body() }
        }
    }

    private func inside(_ body: () -> Void) {
        let wasInside = self.isInside
        self.isInside = true
        body()
        self.isInside = wasInside
    }

    // MARK: - What libcurl wants

    fileprivate func watch(_ descriptor: Int32, _ interest: Int32) {
        guard interest != 0 else {
            self.watches.removeValue(forKey: descriptor)?.watch.cancel()
            return
        }
        var readiness: Readiness = []
        if interest & 1 != 0 { readiness.insert(.readable) }
        if interest & 2 != 0 { readiness.insert(.writable) }
        if let known = self.watches[descriptor]?.watch {
            known.update(readiness)
            self.watches[descriptor]?.interest = interest
            return
        }
        let watch = self.reactor.watch(descriptor, for: readiness) { [weak self] readiness in
            guard let self else { return }
            self.whenOutside { self.ready(descriptor, readiness) }
        }
        self.watches[descriptor] = (watch, interest)
    }

    private func ready(_ descriptor: Int32, _ readiness: Readiness) {
        guard let multi = self.multi, let known = self.watches[descriptor] else { return }
        var mask: Int32 = 0
        if readiness.contains(.readable) { mask |= 1 }
        if readiness.contains(.writable) { mask |= 2 }
        // libcurl finds out what is the matter when it does what it wanted to do.
        if readiness.contains(.hangup) { mask |= known.interest | 4 }
        self.inside { ccs_multi_ready(multi, descriptor, mask) }
    }

    fileprivate func setAlarm(_ milliseconds: Int) {
        self.alarm?.cancel()
        self.alarm = nil
        guard milliseconds >= 0 else { return }
        self.alarm = self.reactor.after(.milliseconds(milliseconds)) { [weak self] in
            guard let self, let multi = self.multi else { return }
            self.inside { ccs_multi_due(multi) }
        }
    }
}

// MARK: - Callbacks

private func client(_ context: UnsafeMutableRawPointer?) -> UpstreamClient? {
    context.map { Unmanaged<UpstreamClient>.fromOpaque($0).takeUnretainedValue() }
}

private func transfer(_ context: UnsafeMutableRawPointer?) -> UpstreamTransfer? {
    context.map { Unmanaged<UpstreamTransfer>.fromOpaque($0).takeUnretainedValue() }
}

private func upstreamWatch(_ context: UnsafeMutableRawPointer?, _ descriptor: Int32, _ interest: Int32) {
    client(context)?.watch(descriptor, interest)
}

private func upstreamAlarm(_ context: UnsafeMutableRawPointer?, _ milliseconds: Int) {
    client(context)?.setAlarm(milliseconds)
}

private func upstreamLine(_ context: UnsafeMutableRawPointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int) -> Int32 {
    let raw = UnsafeRawBufferPointer(start: bytes, count: count)
    return transfer(context)?.line(String(decoding: raw, as: UTF8.self)) == true ? 0 : 1
}

private func upstreamBody(_ context: UnsafeMutableRawPointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int) -> Int32 {
    transfer(context)?.body(UnsafeRawBufferPointer(start: bytes, count: count)) == true ? 0 : 1
}

private func upstreamEnd(_ context: UnsafeMutableRawPointer?, _ code: Int32, _ message: UnsafePointer<CChar>?) {
    guard let transfer = transfer(context) else { return }
    // Its handle is freed when this returns.
    transfer.client.forget(transfer)
    transfer.ended(code, message.map { String(cString: $0) } ?? "")
}
