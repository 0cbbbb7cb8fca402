#if FAULT_POINTS
    import Runtime
#endif

/// A bug that a test build can be given, one at a time, so that the drill can show that it would be found.
///
/// Each says what it breaks and which check should see it. In a release build none can be planted.
package enum PlantedBug: Sendable {
    /// Settling compares neither fence nor head nor marker: a holder that was given up writes over what was declared.
    /// Seen by: one terminal event a turn, one outcome that stays.
    case noCompareAndSet
    /// Events of a running turn carry no fence. Seen by: nothing of a turn comes after its terminal event.
    case unfencedEvents
    /// Hydrating reads the chain as it was before the last commit. Seen by: the snapshot chain, lists that lack a turn.
    case hydrateBeforeBump
    /// The marker is deleted by itself before the settlement: dying in between loses the debt. Seen by: no lost accept.
    case markerOutsideTransaction
    /// The snapshot is written by itself after the outcome: dying in between loses the state. Seen by: the snapshot
    /// chain, lists that lack a turn.
    case snapshotOutsideTransaction
    /// The end of a worker's output counts as the end of its tree. Seen by: no orphan process, one worker at a time.
    case endOfOutputIsExit
    /// Live sessions are found by a joined string, so that agent `a:b` with conversation `c` is agent `a` with `b:c`.
    /// Seen by: turns that stand in another conversation than the one they were sent to, and lists that hold such a turn.
    case joinedKeys
    /// Nothing polls. Seen, with hints off, by: every accepted turn ends.
    case pollsOff
    /// A lock is forgotten instead of let go. Seen by: no leaked lock, every accepted turn ends.
    case lockKept
    /// Events get their numbers in one transaction and are written in another. Seen by: gapless event numbers.
    case numberedEarly
    /// The client's key is not stored. Seen by: one turn for one key.
    case keyForgotten
    /// A turn is acknowledged before it is committed. Seen by: no lost accept.
    case acknowledgedEarly
    /// Whoever ends a turn for its holder writes no outcome. Seen by: one outcome each.
    case sweptWithoutOutcome
    /// The newest queued turn is handed over first. Seen by: order.
    case newestFirst
    /// Each worker that ends leaves a descriptor open. Seen by: no leaked descriptor.
    case descriptorKept
    /// Dead replicas are not looked for. Seen by: turns of a dead replica end in time.
    case nobodyTakesOver

    #if FAULT_POINTS
        /// Whether this build has the bug.
        package var isPlanted: Bool { Faults.planted.withLock { $0 } == self }
    #else
        /// Never, in a release build.
        @inlinable package var isPlanted: Bool { false }
    #endif
}

#if FAULT_POINTS
    extension PlantedBug: CaseIterable {}
#endif
