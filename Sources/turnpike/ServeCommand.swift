/// `serve`: one replica.
struct ServeCommand: Sendable {
    let context: CommandContext

    func run() async throws {
        let configuration = try self.context.configuration(self.context.layers())
        guard !self.context.printsConfiguration(configuration) else { return }
        _ = try configuration.requireDatabase()
        try await DatabaseAccess.reaching { try await Wiring.serve(configuration) { _ in } }
    }
}
