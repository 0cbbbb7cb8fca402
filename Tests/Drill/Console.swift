import Foundation

/// Where the drill talks to people.
enum Console {
    static func say(_ text: String) {
        FileHandle.standardOutput.write(Data("\(text)\n".utf8))
    }
}
