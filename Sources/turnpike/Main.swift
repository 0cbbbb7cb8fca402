import CCurlShim
import Glibc
import Runtime

@main
struct Main {
    static func main() async {
        let code = await self.run(Array(CommandLine.arguments.dropFirst()))
        exit(code.rawValue)
    }

    private static func run(_ words: [String]) async -> ExitCode {
        do {
            switch try CommandLineParser(commands: Commands.all).parse(words) {
            case .help(let topic):
                Console.write(HelpText(commands: Commands.all).text(topic))
                return .success
            case .version:
                Console.write("turnpike \(Version.text)\n")
                return .success
            case .run(let invocation):
                _ = Signals.prepareProcess()
                guard ccs_prepare() == 0 else { throw CommandFailure(.failure, "libcurl cannot start") }
                return try await self.perform(CommandContext(invocation))
            }
        } catch let failure as CommandFailure {
            Console.warn("turnpike: \(failure)\n")
            return failure.exit
        } catch {
            Console.warn("turnpike: \(error)\n")
            return .failure
        }
    }

    private static func perform(_ context: CommandContext) async throws -> ExitCode {
        switch context.invocation.name {
        case "dev": try await DevCommand(context: context).run()
        case "serve": try await ServeCommand(context: context).run()
        case "migrate": try await MigrateCommand(context: context).run()
        case "doctor": return try await DoctorCommand(context: context).run()
        case "agent list": try await AgentCommands(context: context).list()
        case "agent show": try await AgentCommands(context: context).show()
        case "agent presets": try AgentCommands(context: context).presets()
        case "agent add": return try await AgentCommands(context: context).add()
        case "agent check": return try await AgentCommands(context: context).check()
        case "agent put": try await AgentCommands(context: context).put()
        case "agent delete": try await AgentCommands(context: context).delete()
        case "token create" where context.invocation.has("--direct"):
            try await DirectTokenCommand(context: context).create()
        case "token create": try await TokenCommands(context: context).create()
        case "token list": try await TokenCommands(context: context).list()
        case "token rotate": try await TokenCommands(context: context).rotate()
        case "audit": try await AuditCommand(context: context).run()
        case "token revoke": try await TokenCommands(context: context).revoke()
        case "quota show": try await QuotaCommands(context: context).show()
        case "quota set": try await QuotaCommands(context: context).set()
        case "schedule list": try await ScheduleCommands(context: context).list()
        case "schedule show": try await ScheduleCommands(context: context).show()
        case "schedule put": try await ScheduleCommands(context: context).put()
        case "schedule delete": try await ScheduleCommands(context: context).delete()
        case "schedule pause": try await ScheduleCommands(context: context).pause()
        case "schedule resume": try await ScheduleCommands(context: context).resume()
        case "chat": return try await ChatCommand(context).run()
        case "redrive": try await RedriveCommand(context: context).run()
        case "drain": try await DrainCommand(context: context).run()
        case "snapshots list": try await SnapshotCommands(context: context).list()
        case "snapshots export": try await SnapshotCommands(context: context).export()
        case "snapshots prune": try await SnapshotCommands(context: context).prune()
        case "snapshots verify": return try await SnapshotCommands(context: context).verify()
        case "fork": try await SnapshotCommands(context: context).fork()
        case "account list": try await AccountCommands(context: context).list()
        case "account add": try await AccountCommands(context: context).add()
        case "account token": try await AccountCommands(context: context).token()
        case "account delete": try await AccountCommands(context: context).delete()
        case "approval list": try await ApprovalCommands(context: context).list()
        case "approval decide": try await ApprovalCommands(context: context).decide()
        case "rule list": try await ApprovalCommands(context: context).rules()
        case "rule add": try await ApprovalCommands(context: context).addRule()
        case "rule delete": try await ApprovalCommands(context: context).deleteRule()
        case "status": try await StatusCommand(context: context).run()
        case "workers": try await WorkersCommand(context: context).run()
        default: throw CommandFailure(.failure, "the command \(context.invocation.name) has no code")
        }
        return .success
    }
}

/// The program's version.
enum Version {
    static let text = "0.1.0"
}
