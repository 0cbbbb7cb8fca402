internal import CArchive

/// Writes a tar archive (POSIX.1-2001 pax interchange format) compressed by zstd into memory. One thread at a time.
package final class ArchiveWriter {
    /// Where libarchive's output goes.
    private final class Sink {
        var bytes: [UInt8] = []
        let limit: Int
        var isFull = false

        init(limit: Int) {
            self.limit = limit
        }

        /// Returns how many were taken, or -1 when they are too many.
        func take(_ buffer: UnsafeRawBufferPointer) -> Int {
            guard buffer.count <= self.limit - self.bytes.count else {
                self.isFull = true
                return -1
            }
            self.bytes.append(contentsOf: buffer)
            return buffer.count
        }
    }

    private let handle: OpaquePointer
    private let entry: OpaquePointer
    private let sink: Sink
    private var missing: Int64 = 0

    /// Begins an archive that may have `maximumBytes` compressed bytes.
    package init(maximumBytes: Int) throws(ArchiveError) {
        guard let handle = archive_write_new(), let entry = archive_entry_new() else {
            throw .malformed("libarchive has no memory")
        }
        self.handle = handle
        self.entry = entry
        self.sink = Sink(limit: maximumBytes)
        try self.check(archive_write_set_format_pax(handle))
        try self.check(archive_write_add_filter_zstd(handle))
        // Most archives are a few small files, for which the tables of a higher level cost more than they save.
        try self.check(archive_write_set_filter_option(handle, "zstd", "compression-level", "1"))
        try self.check(archive_write_set_bytes_per_block(handle, 0))
        let context = Unmanaged.passUnretained(self.sink).toOpaque()
        try self.check(
            archive_write_open(
                handle,
                context,
                nil,
                { _, context, buffer, count in
                    guard let context else { return -1 }
                    let sink = Unmanaged<Sink>.fromOpaque(context).takeUnretainedValue()
                    return sink.take(UnsafeRawBufferPointer(start: buffer, count: count))
                },
                nil
            )
        )
    }

    deinit {
        archive_entry_free(self.entry)
        archive_write_free(self.handle)
    }

    /// Begins an entry; the bytes of a file follow by `write`, as many as it said.
    package func begin(_ entry: ArchiveEntry) throws(ArchiveError) {
        try self.checkComplete()
        archive_entry_clear(self.entry)
        Self.cString(entry.path) { archive_entry_copy_pathname(self.entry, $0) }
        archive_entry_set_perm(self.entry, entry.mode & 0o7777)
        let (seconds, rest) = entry.modified.quotientAndRemainder(dividingBy: 1_000_000_000)
        archive_entry_set_mtime(self.entry, Int(seconds), Int(rest))
        switch entry.kind {
        case .file(let size):
            archive_entry_set_filetype(self.entry, 0o100000)
            archive_entry_set_size(self.entry, size)
        case .directory:
            archive_entry_set_filetype(self.entry, 0o040000)
        case .link(let target):
            archive_entry_set_filetype(self.entry, 0o120000)
            Self.cString(target) { archive_entry_copy_symlink(self.entry, $0) }
        case .other(let what):
            throw .malformed("\(readable(entry.path)) is a \(what)")
        }
        // A warning is about names that are no text, which are kept as bytes then.
        try self.check(archive_write_header(self.handle, self.entry), tolerating: ARCHIVE_WARN)
        self.missing = entry.size
    }

    /// Adds the first `count` of `bytes` to the file that was begun; all of them without one.
    package func write(_ bytes: [UInt8], count: Int? = nil) throws(ArchiveError) {
        let count = count ?? bytes.count
        guard Int64(count) <= self.missing else { throw .malformed("a file has more bytes than it said") }
        var done = 0
        while done < count {
            let taken = bytes.withUnsafeBytes { buffer in
                archive_write_data(self.handle, buffer.baseAddress.map { $0 + done }, count - done)
            }
            guard taken > 0 else { throw self.failure() }
            done += taken
        }
        self.missing -= Int64(count)
    }

    /// Ends the archive and returns it. The writer is of no more use.
    package func finish() throws(ArchiveError) -> [UInt8] {
        try self.checkComplete()
        try self.check(archive_write_close(self.handle))
        return self.sink.bytes
    }

    private func checkComplete() throws(ArchiveError) {
        guard self.missing == 0 else { throw .malformed("a file has fewer bytes than it said") }
    }

    private func check(_ status: Int32, tolerating tolerated: Int32 = ARCHIVE_OK) throws(ArchiveError) {
        guard status >= tolerated else { throw self.failure() }
    }

    private func failure() -> ArchiveError {
        if self.sink.isFull { return .tooMuch("bytes of compressed archive", limit: self.sink.limit) }
        return .malformed(archive_error_string(self.handle).map { String(cString: $0) } ?? "libarchive failed")
    }

    private static func cString(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Void) {
        (bytes + [0]).withUnsafeBytes { buffer in
            guard let start = buffer.bindMemory(to: CChar.self).baseAddress else { return }
            body(start)
        }
    }
}
