import Domain
import Glibc
import TestKit

/// One client's talk about one turn, over as many connections and replicas as it takes. Blocks its thread.
struct TurnTalk {
    let workload: Workload
    let place: Place
    let wish: TurnWish
    let deadline: ContinuousClock.Instant

    func run(_ turn: inout ClientTurn) {
        if self.wish.follows {
            turn.stream = []
            self.follow(&turn)
        } else {
            self.submit(&turn)
        }
        guard turn.problem == nil, !turn.isRefused, let id = turn.turns.first else { return }
        if self.wish.cancels {
            usleep(self.wish.cancelDelay)
            self.cancel(id, &turn)
        }
        self.read(id, &turn)
    }

    /// The body is the same at every try: only then the client key makes it the same turn.
    private func body(_ turn: ClientTurn) -> String {
        let policy = self.wish.rejectsBusy ? #","on_busy":"reject""# : ""
        let mute = self.wish.mutesWorker ? " mute" : ""
        return #"{"input":"\#(turn.key) \#(self.wish.milliseconds)\#(mute)"\#(policy)}"#
    }

    private func submit(_ turn: inout ClientTurn) {
        self.persistently(&turn) { caller, turn throws(CallFailure) in
            let headers = ["Idempotency-Key": turn.key]
            let reply = try caller.call("POST", "\(self.place.path)/turns", self.body(turn), headers: headers)
            turn.answers.append("submit \(reply.status) \(reply.code)")
            return Self.noteAcceptance(reply, &turn)
        }
    }

    /// Submits to one replica, whatever comes of it: the same key is submitted again afterwards.
    func submitOnce(_ turn: ClientTurn, port: Int) {
        do throws(CallFailure) {
            let headers = ["Idempotency-Key": turn.key]
            let caller = Caller(port: port, token: self.place.token)
            _ = try caller.call("POST", "\(self.place.path)/turns", self.body(turn), headers: headers)
        } catch {
            // It died of it, perhaps.
        }
    }

    /// Whether the client is done submitting. Any refusal but "come again" is final.
    private static func noteAcceptance(_ reply: Caller.Reply, _ turn: inout ClientTurn) -> Bool {
        switch reply.status {
        case 200, 202:
            if let id = reply.json?["turn"]?["id"]?.text { turn.turns.append(id) }
        case 409 where reply.code == "conversation_busy":
            turn.isRefused = true
        case 429, 503:
            return false
        default:
            turn.problem = "\(reply.status) \(reply.code)"
        }
        return true
    }

    /// Submits and reads the answer as a stream. A stream that breaks is resumed elsewhere, after the last event that came.
    private func follow(_ turn: inout ClientTurn) {
        self.persistently(&turn) { caller, turn throws(CallFailure) in
            var headers = ["Accept": "text/event-stream"]
            if let last = turn.stream?.last { headers["Last-Event-ID"] = String(last.seq) }
            var isWhole = false
            var events: [LoggedEvent] = []
            turn.connections += 1
            let id = turn.turns.first
            if id == nil { headers["Idempotency-Key"] = turn.key }
            let target = id.map { "\(self.place.path)/events?turn=\($0)" } ?? "\(self.place.path)/turns"
            let result: Result<Caller.Reply, CallFailure>
            do throws(CallFailure) {
                let body = id == nil ? self.body(turn) : nil
                result = .success(
                    try caller.call(id == nil ? "POST" : "GET", target, body, headers: headers) { event in
                        let turn = event.data["turn"]?.text ?? ""
                        events.append(LoggedEvent(seq: event.id, type: event.type, turn: turn))
                        isWhole = event.isTerminal
                        return !isWhole
                    }
                )
            } catch {
                result = .failure(error)
            }
            turn.stream? += events
            if let told = events.first?.turn { turn.turns.append(told) }
            let reply = try result.get()
            let what = id == nil ? "submit" : "resume"
            turn.answers.append("\(what) \(reply.status) \(reply.code) to \(turn.stream?.last?.seq ?? 0)")
            if reply.status == 200 { return isWhole }
            return Self.noteAcceptance(reply, &turn)
        }
    }

    private func cancel(_ id: String, _ turn: inout ClientTurn) {
        turn.wantedCancel = true
        self.persistently(&turn) { caller, turn throws(CallFailure) in
            let reply = try caller.call("POST", "/v1/turns/\(id)/cancel")
            turn.answers.append("cancel \(reply.status) \(reply.code)")
            return [200, 202, 409].contains(reply.status)
        }
    }

    /// Waits for the outcome, and reads it once more elsewhere.
    private func read(_ id: String, _ turn: inout ClientTurn) {
        for wait in [5, 0] {
            self.persistently(&turn) { caller, turn throws(CallFailure) in
                let reply = try caller.call("GET", "/v1/turns/\(id)?wait=\(wait)")
                guard reply.status == 200 else {
                    turn.answers.append("read \(reply.status) \(reply.code)")
                    if reply.status == 404 { turn.problem = "the accepted turn \(id) is not found" }
                    return reply.status == 404
                }
                guard let outcome = reply.json?["turn"]?["outcome"], let state = outcome["state"]?.text else {
                    return false
                }
                let text = outcome["reply"]?.text ?? ""
                turn.seen.append(SeenOutcome(state: state, code: outcome["code"]?.text, text: text))
                return true
            }
        }
    }

    /// Repeats `step` at one replica after the other until it says that it is done, or time is up.
    private func persistently(
        _ turn: inout ClientTurn,
        _ step: (Caller, inout ClientTurn) throws(CallFailure) -> Bool
    ) {
        while turn.problem == nil {
            guard ContinuousClock.now < self.deadline else {
                turn.problem = "time was up; the last answers: \(turn.answers.suffix(3))"
                return
            }
            guard let target = self.workload.balancer.next() else {
                usleep(20_000)
                continue
            }
            do throws(CallFailure) {
                if try step(Caller(port: target.port, token: self.place.token), &turn) { return }
                usleep(50_000)
            } catch {
                // A connection that could not be made has done nothing: a balancer makes it elsewhere, unseen by clients.
                let isUnseen = error == .refused && self.workload.balancer.checksHealth
                let step = isUnseen ? "redispatched" : turn.turns.isEmpty ? "submit" : "later"
                turn.answers.append("\(step) at \(target.slot): \(error)")
                usleep(20_000)
            }
        }
    }
}

extension Workload {
    /// Reads the log of a conversation, and of those that take over from it, each from its beginning, until the workload
    /// finishes.
    func readLogs(_ place: Place, seed: UInt64) {
        let stays = self.balancer.checksHealth
        var random = Seed(seed)
        while !self.isFinishing {
            let current = place.after(ContinuousClock.now - self.start)
            let nothing = LogReading(conversation: current.name)
            // Behind health checks it stays: only then the end of a replica that leaves is the end of its stream.
            let leaving = { stays ? Int.max : Int.random(in: 5...200, using: &random) }
            let reading = self.read(current, on: nothing, leavingAfter: leaving) { _ in
                self.isFinishing || place.after(ContinuousClock.now - self.start) != current
            }
            self.note(reading, of: current)
        }
    }

    /// Reads on from where the readers stopped to the end of each log, once nothing happens any more.
    func finishReadings(to ends: [String: Int], within limit: Duration) {
        let deadline = ContinuousClock.now + limit
        for (place, begun) in self.readings {
            let end = ends[place.name] ?? 0
            let reading = self.read(place, on: begun, leavingAfter: { Int.max }) { reading in
                reading.events.last?.seq ?? 0 >= end || ContinuousClock.now > deadline
            }
            self.note(reading, of: place)
        }
    }

    /// Reads a conversation's log on until `isEnd` says that it is enough, changing the replica whenever the stream breaks
    /// and now and then for no reason.
    private func read(
        _ place: Place,
        on begun: LogReading,
        leavingAfter: () -> Int,
        until isEnd: @escaping (LogReading) -> Bool
    ) -> LogReading {
        var reading = begun
        while !isEnd(reading) {
            guard let target = self.balancer.next() else {
                usleep(20_000)
                continue
            }
            let leaveAfter = leavingAfter()
            var count = 0
            var hasLeft = false
            reading.connections += 1
            do throws(CallFailure) {
                let headers = [
                    "Accept": "text/event-stream", "Last-Event-ID": String(reading.events.last?.seq ?? 0),
                ]
                let caller = Caller(port: target.port, token: place.token, patience: 2)
                let reply = try caller.call("GET", "\(place.path)/events", headers: headers) { event in
                    let turn = event.data["turn"]?.text ?? ""
                    reading.events.append(LoggedEvent(seq: event.id, type: event.type, turn: turn))
                    count += 1
                    hasLeft = count >= leaveAfter || isEnd(reading)
                    return !hasLeft
                }
                if reply.status != 200 { usleep(100_000) }
            } catch {
                // A log in which nothing happens for a while is left, too.
                hasLeft = error == .silent
                usleep(20_000)
            }
            if count > 0, !hasLeft { reading.breaks += 1 }
        }
        return reading
    }
}
