import Domain

// The files that a replica reads at its start, or when the first token comes.
extension DoctorCommand {
    static func files(_ configuration: Configuration) async -> [Finding] {
        var findings: [Finding] = []
        if configuration.upstreams != nil {
            findings.append(
                self.finding(.upstreams) { () throws(CommandFailure) in
                    let upstreams = try ModelListener.upstreams(configuration) ?? [:]
                    return upstreams.keys.sorted().joined(separator: ", ")
                }
            )
            findings.append(self.port(configuration.proxyListen, of: .proxyListen))
        }
        if let path = configuration.accounts {
            findings.append(
                self.finding(.accounts) { () throws(CommandFailure) in "\(try AccountFile.read(path).count) in \(path)"
                }
            )
        }
        if let path = configuration.identity { findings.append(await self.identity(path)) }
        return findings
    }

    private static func finding(
        _ setting: Setting,
        _ read: () throws(CommandFailure) -> String
    ) -> Finding {
        do {
            return .ok(setting.rawValue, try read())
        } catch {
            return .fail(setting.rawValue, error.message, error.remedy ?? "Mend the file; no replica starts with it.")
        }
    }

    /// Keys that cannot be read now may come later: a replica starts without them, and believes nobody until then.
    private static func identity(_ path: String) async -> Finding {
        let subject = Setting.identity.rawValue
        let file: IdentityFile
        do {
            file = try IdentityFile(path: path)
        } catch {
            return .fail(subject, error.message, error.remedy ?? "Mend the file; no replica starts with it.")
        }
        do {
            let count = try await file.keys().count
            return .ok(subject, "\(path), whose keys are there (\(count) bytes)")
        } catch {
            return .warn(subject, "\(path): its keys cannot be read: \(error)", "Until they can, nobody is believed.")
        }
    }
}
