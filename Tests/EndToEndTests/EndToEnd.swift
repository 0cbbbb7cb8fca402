import Testing

/// Everything here starts replicas, workers and servers on two processors: one at a time.
@Suite(.serialized)
enum EndToEnd {}
