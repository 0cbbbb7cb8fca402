/// The end of a program's error output as a person may read it.
enum LastWords {
    /// So much of it goes into a message.
    static let maximumBytes = 2_048

    /// The last whole lines of `output`, without control characters: a message is shown in terminals.
    static func text(_ output: [UInt8]) -> String {
        var tail = output.suffix(Self.maximumBytes)
        if tail.count < output.count, let newline = tail.firstIndex(of: UInt8(ascii: "\n")), newline < tail.endIndex - 1
        {
            tail = tail[(newline + 1)...]
        }
        var scalars = String.UnicodeScalarView()
        for scalar in String(decoding: tail, as: UTF8.self).unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            if !isControl || scalar == "\n" || scalar == "\t" { scalars.append(scalar) }
        }
        var text = Substring(String(scalars))
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// `sentence` with `words` after it, when there are any.
    static func join(_ sentence: String, _ words: String) -> String {
        words.isEmpty ? sentence : "\(sentence); its last words: \(words)"
    }
}
