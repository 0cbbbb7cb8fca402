import Archive
import Domain
import FoundationEssentials
import Glibc
import Runtime

/// Directory snapshots outside of any worker: for people who want to look at them. Blocks.
package enum WorkspaceExport {
    /// The links of a chain, from a base on, as one archive that any tar can unpack. Unpacks them below `folder`, which has
    /// to be there, and leaves nothing in it; throws when one of them cannot be read or does not fit.
    package static func merge(_ links: [[UInt8]], in folder: String) throws -> [UInt8] {
        let parent = try SystemError.check("open \(folder)", open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        defer { close(parent) }
        let name = "turnpike-export-\(UInt64.random(in: 0 ... .max))"
        try SystemError.check("mkdir \(name)", mkdirat(parent, name, 0o700))
        let result = Result { try self.merge(links, name, parent) }
        try Directories.remove(name, in: parent)
        return try result.get()
    }

    private static func merge(_ links: [[UInt8]], _ name: String, _ parent: Int32) throws -> [UInt8] {
        let own = try Directories.open(name, in: parent)
        defer { close(own) }
        let selection = TreeSelection(tops: ["home", "work"], always: [AgentSession.file])
        let limits = TreeLimits(bytes: .max / 2, entries: .max / 2)
        var restore = TreeRestore(root: own, selection: selection, limits: limits)
        for (index, link) in links.enumerated() { try restore.apply(link, isFirst: index == 0) }
        try restore.finish()
        let tree = try FileTree.scan(own, selection: selection, limits: limits)
        return try TreeArchive.make(tree, since: nil, root: own, maximumBytes: .max, limits: limits)
    }

    /// Blobs of a chain beside each other in one archive: nobody but their worker can put them together.
    package static func pack(_ links: [(name: String, body: [UInt8])]) throws -> [UInt8] {
        let writer = try ArchiveWriter(maximumBytes: .max)
        for link in links {
            let kind = ArchiveEntry.Kind.file(size: Int64(link.body.count))
            try writer.begin(ArchiveEntry(path: Array(link.name.utf8), kind: kind, mode: 0o600, modified: 0))
            try writer.write(link.body)
        }
        return try writer.finish()
    }
}
