import Foundation
import TestKit

@main
enum Main {
    static func main() async {
        do {
            var options = try Options()
            try options.read(Array(CommandLine.arguments.dropFirst()))
            exit(try await Drill(options).run() ? 0 : 1)
        } catch {
            Console.say("turnpike-drill: \(error)")
            exit(2)
        }
    }
}
