internal import CPostgres

/// Reading of connection strings, by libpq itself.
enum Conninfo {
    /// The value of a parameter; nil when absent or when the string is malformed, which connecting will report.
    static func value(of name: String, in conninfo: String) -> String? {
        guard let options = PQconninfoParse(conninfo, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if String(cString: keyword) == name {
                return option.pointee.val.map { String(cString: $0) }
            }
            option += 1
        }
        return nil
    }

    /// The parameters that name each host of a string with several; empty where there is one, and where libpq has to say
    /// what is wrong with them.
    static func hosts(in conninfo: String) -> [[(name: String, value: String)]] {
        let (hosts, addresses, ports) = (
            self.list(of: "host", in: conninfo), self.list(of: "hostaddr", in: conninfo),
            self.list(of: "port", in: conninfo)
        )
        let count = max(hosts.count, addresses.count)
        let areComplete = [hosts, addresses].allSatisfy { $0.isEmpty || $0.count == count && !$0.contains("") }
        guard count > 1, areComplete, ports.count <= 1 || ports.count == count else { return [] }
        return (0..<count).map { number in
            let port = ports.count > 1 ? ports[number] : ports.first ?? ""
            let own = [hosts, addresses].map { $0.isEmpty ? "" : $0[number] } + [port.isEmpty ? "5432" : port]
            return zip(["host", "hostaddr", "port"], own).filter { !$0.1.isEmpty }.map { (name: $0.0, value: $0.1) }
        }
    }

    private static func list(of name: String, in conninfo: String) -> [String] {
        self.value(of: name, in: conninfo)?.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            ?? []
    }
}
