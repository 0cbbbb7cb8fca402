internal import CRuntime
import Glibc

/// What a descriptor can be ready for; also the interest that a watch asks for.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Data, or an end of file, can be read without blocking.
    package static let readable = Readiness(rawValue: 1)
    /// Something can be written without blocking.
    package static let writable = Readiness(rawValue: 2)
    /// The peer closed its writing side. Reported only when asked for.
    package static let peerClosed = Readiness(rawValue: 4)
    /// Error or hang-up. Always reported, whatever was asked for.
    package static let hangup = Readiness(rawValue: 8)
    /// As interest only: report each change once, not as long as it lasts.
    package static let edgeTriggered = Readiness(rawValue: 16)
}

/// One thread that waits for descriptors and timers, and runs the actors that own them.
///
/// An actor that names a reactor as its executor can receive readiness callbacks without a hop: callbacks run on the
/// reactor's thread, where `assumeIsolated` holds. Nothing that blocks may run here (see `BlockingPool`).
///
/// Registrations are keyed by a token that is never reused, not by descriptor, so a late report for a closed
/// descriptor whose number was handed out again finds nobody.
///
/// `@unchecked Sendable`: `mailbox` is locked; every other variable is touched by the reactor's thread alone.
package final class Reactor: SerialExecutor, @unchecked Sendable {
    private enum Letter {
        case job(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private struct Mailbox {
        var letters: [Letter] = []
        var sleeping = false
        /// When the thread wakes by itself; nil for never. Means something only while it sleeps.
        var wakesAt: ContinuousClock.Instant?
        var stopped = false
    }

    private let epoll: Int32
    private let wakeup: Int32
    private let mailbox = Locked(Mailbox())
    private var thread = pthread_t()
    private var watches: [UInt64: Watch] = [:]
    private var lastToken: UInt64 = 0
    private var timers = TimerHeap()

    /// Starts the thread. `name` shows up in `ps -L` (15 bytes at most). Throws when the kernel gives no descriptor
    /// or no thread.
    package init(name: String) throws(SystemError) {
        self.epoll = try SystemError.check("epoll_create1", crt_epoll_create())
        self.wakeup = try SystemError.check("eventfd", crt_eventfd())
        try SystemError.check("epoll_ctl", crt_epoll_add(self.epoll, self.wakeup, CRT_IN, 0))
        try self.launch(name: name)
    }

    deinit {
        close(self.epoll)
        close(self.wakeup)
    }

    /// Whether the caller runs on this reactor's thread.
    package var isCurrent: Bool {
        pthread_equal(pthread_self(), self.thread) != 0
    }

    /// Calls `body` on the reactor's thread whenever `descriptor` becomes ready. The caller keeps the descriptor open
    /// until the watch has been cancelled; see `Watch.cancel(thenClose:)`. Callable from any thread.
    package func watch(
        _ descriptor: Int32,
        for interest: Readiness,
        _ body: @escaping @Sendable (Readiness) -> Void
    ) -> Watch {
        let watch = Watch(reactor: self, descriptor: descriptor, interest: interest, body: body)
        self.perform { self.add(watch) }
        return watch
    }

    /// Calls `body` once on the reactor's thread after `delay`, unless the timer is cancelled first. Cheap: most timers
    /// are deadlines that never come, so a sleeping thread is woken only for one that comes before it wakes by itself.
    @discardableResult
    package func after(_ delay: Duration, _ body: @escaping @Sendable () -> Void) -> ReactorTimer {
        let timer = ReactorTimer(deadline: ContinuousClock.now + delay, body: body)
        if self.isCurrent {
            self.timers.insert(timer)
        } else {
            self.post(.call({ self.timers.insert(timer) }), neededBy: timer.deadline)
        }
        return timer
    }

    /// Returns after `delay`. Throws `CancellationError` as soon as the task is cancelled, and then, unlike `Task.sleep`,
    /// leaves nothing behind that fires in the end.
    package func sleep(for delay: Duration) async throws {
        let shot = OneShot<Void>()
        let timer = self.after(delay) { shot.resolve(()) }
        defer { timer.cancel() }
        await withTaskCancellationHandler {
            await shot.value()
        } onCancel: {
            shot.resolve(())
        }
        try Task.checkCancellation()
    }

    /// Returns after `delay`, whether the task is cancelled or not: a loop that has to go on in a cancelled task would spin
    /// over any other wait.
    package func pause(for delay: Duration) async {
        let over = OneShot<Void>()
        self.after(delay) { over.resolve(()) }
        await over.value()
    }

    /// Runs `body` on the reactor's thread: now, if the caller is on it, else soon.
    package func perform(_ body: @escaping @Sendable () -> Void) {
        if self.isCurrent {
            body()
        } else {
            self.post(.call(body))
        }
    }

    /// Ends the thread after the work already posted and waits for it. For tests and for the very end of a process;
    /// must not be called from the reactor itself.
    package func stop() {
        precondition(!self.isCurrent, "a reactor cannot wait for itself")
        self.mailbox.withLock { $0.stopped = true }
        self.wake()
        pthread_join(self.thread, nil)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        self.post(.job(UnownedJob(job)))
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    package func checkIsolated() {
        precondition(self.isCurrent, "expected to run on the reactor")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        self.isCurrent
    }

    // MARK: - Mailbox

    /// `neededBy` nil means at once; a later letter may lie until the thread wakes by itself.
    private func post(_ letter: Letter, neededBy: ContinuousClock.Instant? = nil) {
        let mustWake = self.mailbox.withLock { mailbox in
            mailbox.letters.append(letter)
            guard mailbox.sleeping else { return false }
            if let neededBy, let wakesAt = mailbox.wakesAt, neededBy >= wakesAt { return false }
            mailbox.sleeping = false
            return true
        }
        if mustWake {
            self.wake()
        }
    }

    private func wake() {
        var one: UInt64 = 1
        // A full counter (EAGAIN) means that a wake-up is pending already.
        _ = write(self.wakeup, &one, 8)
    }

    // MARK: - The thread

    private func launch(name: String) throws(SystemError) {
        let started = DispatchGate()
        let context = Unmanaged.passRetained(ThreadStart(reactor: self, name: name, started: started))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, reactorThreadMain, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw SystemError(call: "pthread_create", number: code)
        }
        self.thread = thread
        started.open()
    }

    fileprivate func loop() {
        var events = [crt_event](repeating: crt_event(), count: 256)
        while true {
            let timeout = self.nextTimeout()
            if timeout == nil { return }
            let count = crt_epoll_wait(self.epoll, &events, 256, timeout ?? 0)
            for index in 0..<max(0, Int(count)) {
                self.report(events[index])
            }
            let now = ContinuousClock.now
            while let timer = self.timers.next(due: now) { timer.fire() }
            self.drainMailbox()
        }
    }

    /// Milliseconds to sleep, 0 while there is mail, -1 for ever; nil once stopped and drained.
    private func nextTimeout() -> Int32? {
        let now = ContinuousClock.now
        let timerTimeout = self.timers.millisecondsToNext(from: now)
        return self.mailbox.withLock { mailbox in
            guard mailbox.letters.isEmpty else { return 0 }
            if mailbox.stopped { return nil }
            mailbox.sleeping = true
            mailbox.wakesAt = timerTimeout < 0 ? nil : now + .milliseconds(Int64(timerTimeout))
            return timerTimeout
        }
    }

    private func drainMailbox() {
        let letters = self.mailbox.withLock { mailbox in
            mailbox.sleeping = false
            let letters = mailbox.letters
            mailbox.letters = []
            return letters
        }
        for letter in letters {
            switch letter {
            case .job(let job): job.runSynchronously(on: self.asUnownedSerialExecutor())
            case .call(let body): body()
            }
        }
    }

    private func report(_ event: crt_event) {
        guard event.token != 0 else {
            var counter: UInt64 = 0
            _ = read(self.wakeup, &counter, 8)
            return
        }
        guard let watch = self.watches[event.token] else { return }
        watch.body(Readiness(epoll: event.events))
    }

    // MARK: - Watches, on the reactor's thread

    private func add(_ watch: Watch) {
        self.lastToken += 1
        watch.token = self.lastToken
        self.watches[watch.token] = watch
        if crt_epoll_add(self.epoll, watch.descriptor, watch.interest.epollMask, watch.token) != 0 {
            // Out of watches or memory, or a descriptor that cannot be polled: the owner learns it as a hang-up.
            watch.body(.hangup)
        }
    }

    fileprivate func change(_ watch: Watch, to interest: Readiness) {
        guard watch.token != 0, watch.interest != interest else { return }
        watch.interest = interest
        _ = crt_epoll_modify(self.epoll, watch.descriptor, interest.epollMask, watch.token)
    }

    fileprivate func remove(_ watch: Watch, thenClose: Bool) {
        guard watch.token != 0 else { return }
        self.watches[watch.token] = nil
        watch.token = 0
        _ = crt_epoll_remove(self.epoll, watch.descriptor)
        if thenClose {
            close(watch.descriptor)
        }
    }
}

/// A registration of one descriptor with a reactor.
///
/// `@unchecked Sendable`: the mutable fields belong to the reactor's thread.
package final class Watch: @unchecked Sendable {
    private let reactor: Reactor
    fileprivate let descriptor: Int32
    fileprivate let body: @Sendable (Readiness) -> Void
    fileprivate var interest: Readiness
    fileprivate var token: UInt64 = 0

    fileprivate init(
        reactor: Reactor,
        descriptor: Int32,
        interest: Readiness,
        body: @escaping @Sendable (Readiness) -> Void
    ) {
        self.reactor = reactor
        self.descriptor = descriptor
        self.interest = interest
        self.body = body
    }

    /// Replaces the interest. Callable from any thread; at once when on the reactor's.
    package func update(_ interest: Readiness) {
        self.reactor.perform { self.reactor.change(self, to: interest) }
    }

    /// Ends the watch, and closes the descriptor if asked. On the reactor's thread no callback follows; from another
    /// thread one may still be under way. Cancelling twice is harmless.
    package func cancel(thenClose: Bool = false) {
        self.reactor.perform { self.reactor.remove(self, thenClose: thenClose) }
    }
}

extension Readiness {
    fileprivate init(epoll: UInt32) {
        self = []
        if epoll & CRT_IN != 0 { self.insert(.readable) }
        if epoll & CRT_OUT != 0 { self.insert(.writable) }
        if epoll & CRT_RDHUP != 0 { self.insert(.peerClosed) }
        if epoll & (CRT_HUP | CRT_ERR) != 0 { self.insert(.hangup) }
    }

    fileprivate var epollMask: UInt32 {
        var mask: UInt32 = 0
        if self.contains(.readable) { mask |= CRT_IN }
        if self.contains(.writable) { mask |= CRT_OUT }
        if self.contains(.peerClosed) { mask |= CRT_RDHUP }
        if self.contains(.edgeTriggered) { mask |= CRT_EDGE }
        return mask
    }
}

// MARK: - Thread start

/// Lets the new thread wait until the reactor knows its thread.
private final class DispatchGate: Sendable {
    private let opened = Locked(false)

    func open() {
        self.opened.withLock { $0 = true }
    }

    func wait() {
        while !self.opened.withLock({ $0 }) {
            sched_yield()
        }
    }
}

private final class ThreadStart: Sendable {
    let reactor: Reactor
    let name: String
    let started: DispatchGate

    init(reactor: Reactor, name: String, started: DispatchGate) {
        self.reactor = reactor
        self.name = name
        self.started = started
    }
}

private func reactorThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue()
    // Signals are for the main thread's signal descriptor, never for a reactor.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    crt_name_thread(String(start.name.prefix(15)))
    start.started.wait()
    start.reactor.loop()
    return nil
}
