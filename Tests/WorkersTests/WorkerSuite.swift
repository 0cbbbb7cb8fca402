import Testing

/// Serialized as a whole: some of these count the processes and descriptors of this process.
@Suite(.serialized) struct WorkerSuite {}
