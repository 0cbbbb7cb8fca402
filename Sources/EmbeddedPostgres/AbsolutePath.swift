internal import Foundation

/// Questions about folders, asked before anything is made in them.
enum AbsolutePath {
    /// `path` from the root, without `.`, `..` and trailing slashes; links are not followed.
    static func of(_ path: String) -> String {
        let base = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        return URL(fileURLWithPath: base).standardized.path
    }

    /// The first folder above `path`, from the root, that `account` may not enter; nil if it may enter all.
    static func firstClosedParent(of path: String, to account: ServerAccount) -> String? {
        var parent = ""
        for part in path.split(separator: "/").dropLast() {
            parent += "/" + part
            var status = stat()
            // What does not exist yet will be made enterable.
            guard stat(parent, &status) == 0 else { return nil }
            if !account.mayEnter(owner: status.st_uid, group: status.st_gid, mode: status.st_mode) { return parent }
        }
        return nil
    }

    /// 16 hexadecimal digits that stand for `path` (FNV-1a, 64 bits): short enough for the path of a socket.
    static func hash(_ path: String) -> String {
        let sum = path.utf8.reduce(0xCBF2_9CE4_8422_2325) { (sum: UInt64, byte) in
            (sum ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        let digits = String(sum, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
