/// Every bound of the system that is not an agent's own, with units, written once.
package struct Limits: Sendable, Hashable {
    // Input.
    /// The body of a turn.
    package var turnBodyBytes = 1 << 20
    /// The body of a request that brings the whole conversation along.
    package var dialectBodyBytes = 8 << 20
    /// How long a client's second try of a request without a key finds the turn of its first: longer than clients wait
    /// for an answer, which is 600 s.
    package var retryMemory: Duration = .seconds(900)
    /// Turns that may wait in one conversation.
    package var queuedTurnsPerConversation = 100
    /// Messages put by hand into a conversation of OpenAI's API, and the bytes of their JSON.
    package var threadItems = 1_000
    /// They are read whole whenever the conversation is.
    package var threadBytes = 4 << 20
    /// Schedules of one organization.
    package var schedulesPerOrganization = 1_000

    // Workers.
    /// Live workers of one replica.
    package var workersPerReplica = 1_000
    /// Workers that may be starting at once on one replica: starts are CPU bound.
    package var startsAtOnce = 8
    /// Of these, spare workers that may be starting at once: nobody waits for one.
    package var spareStartsAtOnce = 2
    /// Between two looks which agents want spare workers.
    package var spareInterval: Duration = .seconds(1)

    // Agents that do not start.
    /// So many failures in a row open the agent's circuit.
    package var breakerFailures = 3
    /// The first delay of an open circuit, and the longest.
    package var breakerFirst: Duration = .seconds(1)
    /// No delay of an open circuit is longer.
    package var breakerLongest: Duration = .seconds(60)
    /// A worker that ends by itself this soon after its start counts as one that did not start.
    package var earlyExit: Duration = .seconds(5)
    /// How long a start may keep others from beginning: what takes longer waits for something, not for the processor.
    package var startGateHold: Duration = .seconds(5)

    // Waiting.
    /// How long a turn may wait for a lock, a worker's place or a key before it fails.
    package var leaseWait: Duration = .seconds(300)
    /// The shortest and the longest delay before a deferred conversation is looked at again.
    package var deferFirst: Duration = .milliseconds(250)
    /// No delay of a deferred conversation is longer.
    package var deferLongest: Duration = .seconds(5)
    /// How long a claim hides a conversation from other replicas until its fence is taken.
    package var claimHold: Duration = .seconds(10)

    // Finding work that no wake announced.
    /// Between two looks for work that no wake announced.
    package var pollInterval: Duration = .seconds(1)
    /// How often markers past their deadline are looked for.
    package var sweepInterval: Duration = .seconds(1)
    /// How long past its deadline a marker is left to its own replica before any other fails it.
    package var sweepGrace: Duration = .seconds(3)

    /// Between two looks for conversations whose account nobody hosts.
    package var accountInterval: Duration = .seconds(1)

    /// How often a turn goes to another account because a worker had no capacity for it.
    package var reroutes = 3
    /// How long the account of such a worker is passed over for that conversation.
    package var exclusion: Duration = .seconds(30)

    /// Between two stretches of the walk that looks for snapshots which no agent keeps any longer.
    package var pruneInterval: Duration = .seconds(10)

    /// Between two looks for schedules whose time has come.
    package var schedulePoll: Duration = .seconds(1)

    // The lock session.
    /// Between two heartbeats of the lock session.
    package var heartbeatInterval: Duration = .seconds(1)
    /// How long after the start of the last good heartbeat the replica still believes that it holds its locks.
    package var lockTrust: Duration = .seconds(3)
    /// When a replica that has not regained its locks kills their workers, counted like `lockTrust`, at whose end they
    /// were frozen.
    package var lockLossKill: Duration = .seconds(5)
    /// When the server may give the locks of a silent session away; never before the replica stopped believing.
    package var lockRelease: Duration = .seconds(5)
    /// How long another session may hold a lost lock, once the presence lock is regained, before the lock counts as
    /// somebody else's: the lost session lets its locks go one after the other.
    package var lockLinger: Duration = .milliseconds(500)
    /// Between two looks at the other replicas' presence locks.
    package var presenceInterval: Duration = .milliseconds(500)
    /// How long a peer's presence lock may be free before the peer counts as dead.
    package var presenceGrace: Duration = .seconds(1)
    /// How long after this replica's own reconnect no peer counts as dead: PostgreSQL was away for all of them.
    package var presenceRestartGrace: Duration = .seconds(3)

    // Streams.
    /// Events are gathered this long before they are written together.
    package var eventBatch: Duration = .milliseconds(20)
    /// Comment lines keep idle streams alive at this interval.
    package var streamKeepalive: Duration = .seconds(15)
    /// Between two looks for events of conversations that another replica owns.
    package var feedPoll: Duration = .milliseconds(500)

    /// Between two looks for the decision of a question that a worker of this replica waits for.
    package var approvalPoll: Duration = .milliseconds(500)

    /// Between two looks for a turn for a remote worker that waits for one.
    package var remotePoll: Duration = .milliseconds(250)
    /// How long after it last asked for something a remote worker's account counts as present.
    package var remotePresence: Duration = .seconds(60)
    /// How long a remote run that has ended is remembered, for workers that ask again.
    package var remoteMemory: Duration = .seconds(86_400)
    /// Runs in a row of a parking turn for which nobody was asked: a worker that parks for ever would never end it.
    package var parkedRounds = 50

    /// How long a browser that signed in stays so.
    package var webSession: Duration = .seconds(12 * 3_600)

    // Models.
    /// The body of a call to a model: a whole conversation, images included.
    package var modelBodyBytes = 32 << 20
    /// Calls to a model that one worker may have open.
    package var modelCallsAtOnce = 32
    /// From the beginning of a call to a connection with the upstream.
    package var modelConnect: Duration = .seconds(10)
    /// From the beginning of a call to the head of its answer: an answer that is not streamed is thought through first.
    package var modelFirstByte: Duration = .seconds(600)
    /// Between two pieces of a streamed answer.
    package var modelSilence: Duration = .seconds(300)
    /// Between two looks whether the turn of a streamed answer still runs, by the database.
    package var modelRecheck: Duration = .seconds(5)
    /// How long after a conversation's last turn its backend is still hinted at: longer than the caches of models live.
    package var backendMemory: Duration = .seconds(3_600)

    // Leaving.
    /// How long running turns may take to finish after SIGTERM.
    package var drainGrace: Duration = .seconds(25)

    package init() {}

    /// Changes the lock trust window and everything that must be longer than it.
    package mutating func trustLocks(for trust: Duration) {
        self.lockTrust = trust
        self.lockLossKill = trust + .seconds(2)
        self.lockRelease = trust + .seconds(2)
    }

    /// What does not fit together, one sentence each; empty when all is well.
    package var contradictions: [String] {
        var found: [String] = []
        if self.lockTrust <= self.heartbeatInterval {
            found.append("lock trust must be longer than the heartbeat interval")
        }
        if self.lockTrust + .milliseconds(1250) > self.lockRelease {
            found.append("the replica must stop believing at least 1.25 s before the server may release its locks")
        }
        if self.lockLossKill > self.lockRelease {
            found.append("workers without a lock must be killed before the server may release the lock")
        }
        if self.deferFirst > self.deferLongest { found.append("the first deferral is longer than the longest") }
        return found
    }
}
