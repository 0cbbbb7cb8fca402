/// "Did you mean": the known word that a misspelt one is closest to.
enum Suggestion {
    /// ` (did you mean "x"?)`, or nothing when no word of `known` is close.
    static func phrase(for word: String, among known: some Sequence<String>) -> String {
        self.closest(to: word, among: known).map { #" (did you mean "\#($0)"?)"# } ?? ""
    }

    /// The closest of `known`, when at most a third of its letters, and at least one, are wrong.
    static func closest(to word: String, among known: some Sequence<String>) -> String? {
        let ranked = known.map { (word: $0, distance: self.distance(word, $0)) }
        guard let best = ranked.min(by: { ($0.distance, $0.word) < ($1.distance, $1.word) }) else { return nil }
        return best.distance <= max(1, best.word.count / 3) ? best.word : nil
    }

    /// Levenshtein's distance, counting two swapped neighbours as one mistake.
    static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                let replaced = previous[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(replaced, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforePrevious[column - 1] + 1)
                }
                current.append(best)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
