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
}
