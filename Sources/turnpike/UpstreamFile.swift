import API
import Domain
import Foundation

/// The file of `--upstreams`: by name, where models are served and which key is sent there.
///
/// Keys are in files or variables of the gateway and read once, at its start. An entry's key goes to its URL and nowhere
/// else: this file is the list of all hosts that workers can reach through the gateway.
enum UpstreamFile {
    /// `text` is the file's; `read` gives the text of a key's file, `environment` its variables.
    static func parse(
        _ path: String,
        _ text: String,
        environment: [String: String],
        read: (String) throws -> String
    ) throws(CommandFailure) -> [String: ModelProxy.Keyed] {
        let upstreams: [String: Upstream]
        do {
            upstreams = try JSONDecoder().decode([String: Upstream].self, from: Data(text.utf8))
        } catch let error as DecodingError {
            throw CommandFailure(.usage, "\(path): \(Self.problem(error))")
        } catch {
            throw CommandFailure(.usage, "\(path): not valid JSON")
        }
        var keyed: [String: ModelProxy.Keyed] = [:]
        for (name, upstream) in upstreams.sorted(by: { $0.key < $1.key }) {
            guard Upstream.isName(name) else {
                throw CommandFailure(.usage, #"\#(path): "\#(name)" is not 1 to 64 of a-z, 0-9, - and _"#)
            }
            if let (member, problem) = upstream.problems.first {
                throw CommandFailure(.usage, "\(path): \(name).\(member) \(problem)")
            }
            let key = try self.key(of: upstream, at: "\(path): \(name)", environment, read)
            keyed[name] = ModelProxy.Keyed(upstream, key: key)
        }
        return keyed
    }

    private static func key(
        of upstream: Upstream,
        at place: String,
        _ environment: [String: String],
        _ read: (String) throws -> String
    ) throws(CommandFailure) -> Secret? {
        let text: String
        if let file = upstream.keyFile {
            text = try SettingLayers.secret(file, variable: "\(place).key_file", read: read)
        } else if let variable = upstream.keyVariable {
            guard let value = environment[variable], !value.isEmpty else {
                throw CommandFailure(.usage, "\(place).key_variable: there is no variable \(variable)")
            }
            text = value
        } else {
            return nil
        }
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw CommandFailure(.usage, "\(place): the key is not one line of visible ASCII characters")
        }
        return Secret(text)
    }

    private static func problem(_ error: DecodingError) -> String {
        let (path, problem): ([any CodingKey], String) =
            switch error {
            case .keyNotFound(let key, let context): (context.codingPath + [key], "is missing")
            case .typeMismatch(_, let context), .valueNotFound(_, let context): (context.codingPath, "has a wrong type")
            case .dataCorrupted(let context): (context.codingPath, context.debugDescription)
            @unknown default: ([], "cannot be read")
            }
        let place = path.map(\.stringValue).joined(separator: ".")
        return place.isEmpty ? "not valid JSON" : "\(place): \(problem)"
    }
}
