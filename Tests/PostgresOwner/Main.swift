import EmbeddedPostgres
import Foundation

/// Starts a throwaway server in the folder named by its argument, says so on standard output and keeps it until
/// standard input ends: the process that tests of the server's lifetime may kill.
@main
enum Main {
    static func main() async {
        do {
            guard CommandLine.arguments.count == 2 else {
                self.say("usage: PostgresOwner FOLDER")
                exit(64)
            }
            let server = try await EmbeddedPostgres.start(in: CommandLine.arguments[1], mode: .throwaway)
            self.say("ready \(server.conninfo)")
            _ = try FileHandle.standardInput.readToEnd()
            await server.stop()
        } catch {
            self.say("failed \(error)")
            exit(1)
        }
    }

    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}
