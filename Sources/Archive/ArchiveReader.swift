internal import CArchive
import Glibc

/// Reads a zstd-compressed tar archive out of memory, entry by entry. Nothing it finds is trusted to be sensible: what
/// paths, kinds and sizes are acceptable is for the caller to say.
package final class ArchiveReader {
    private let handle: OpaquePointer
    /// The archive, which libarchive reads where it lies.
    private let bytes: UnsafeMutableRawBufferPointer

    /// Begins to read `archive`, of which it keeps a copy.
    package init(_ archive: [UInt8]) throws(ArchiveError) {
        guard let handle = archive_read_new() else { throw .malformed("libarchive has no memory") }
        self.handle = handle
        self.bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: archive.count, alignment: 1)
        self.bytes.copyBytes(from: archive)
        try self.check(archive_read_support_filter_zstd(handle))
        try self.check(archive_read_support_format_tar(handle))
        try self.check(archive_read_open_memory(handle, self.bytes.baseAddress, self.bytes.count))
    }

    deinit {
        archive_read_free(self.handle)
        self.bytes.deallocate()
    }

    /// The next entry; nil at the end. Bytes of the one before that were not read are passed over.
    package func next() throws(ArchiveError) -> ArchiveEntry? {
        var entry: OpaquePointer?
        let status = archive_read_next_header(self.handle, &entry)
        if status == ARCHIVE_EOF { return nil }
        guard status >= ARCHIVE_WARN, let entry else { throw self.failure() }
        guard let path = Self.bytes(archive_entry_pathname(entry)), !path.isEmpty else {
            throw .malformed("an entry has no readable name")
        }
        let modified = Int64(archive_entry_mtime(entry)).multipliedReportingOverflow(by: 1_000_000_000)
        return ArchiveEntry(
            path: path,
            kind: try Self.kind(entry, path),
            mode: UInt32(archive_entry_perm(entry)),
            modified: modified.overflow ? 0 : modified.partialValue &+ Int64(archive_entry_mtime_nsec(entry))
        )
    }

    /// Reads bytes of the current file into the beginning of `buffer`, at most `limit`; 0 at the file's end.
    package func read(into buffer: inout [UInt8], atMost limit: Int = .max) throws(ArchiveError) -> Int {
        let count = buffer.withUnsafeMutableBytes {
            archive_read_data(self.handle, $0.baseAddress, min(limit, $0.count))
        }
        guard count >= 0 else { throw self.failure() }
        return count
    }

    private static func kind(_ entry: OpaquePointer, _ path: [UInt8]) throws(ArchiveError) -> ArchiveEntry.Kind {
        guard archive_entry_hardlink(entry) == nil else { return .other("hard link") }
        switch Int32(archive_entry_filetype(entry)) {
        case 0o100000:
            guard archive_entry_size_is_set(entry) != 0, archive_entry_size(entry) >= 0 else {
                throw .malformed("\(readable(path)) has no size")
            }
            return .file(size: archive_entry_size(entry))
        case 0o040000: return .directory
        case 0o120000:
            guard let target = bytes(archive_entry_symlink(entry)), !target.isEmpty else {
                throw .malformed("\(readable(path)) leads nowhere")
            }
            return .link(target: target)
        case 0o010000: return .other("fifo")
        case 0o020000: return .other("character device")
        case 0o060000: return .other("block device")
        case 0o140000: return .other("socket")
        default: return .other("thing without a kind")
        }
    }

    private static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8]? {
        text.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }

    private func check(_ status: Int32) throws(ArchiveError) {
        guard status == ARCHIVE_OK else { throw self.failure() }
    }

    private func failure() -> ArchiveError {
        .malformed(archive_error_string(self.handle).map { String(cString: $0) } ?? "libarchive failed")
    }
}
