internal import CRuntime
import Glibc
import Runtime

/// Knows of files which nobody can have changed since their bytes were read, so that a look at a tree need not ask about
/// each of them.
///
/// The kernel reports of a watched file whenever anybody opens it, or changes its size, mode, times or links without, by
/// whatever path (inotify(7)). What it does not report are writes through a mapping, and those of somebody who had the file
/// open already. So a file is taken for untouched only from a moment on at which nobody had it open for writing, mapped
/// or not: the kernel gives a read lease for no other (fcntl(2)). Where it gives no watch or no lease, and for every file
/// of which something is reported, all is as without this: the file is asked.
package final class FileWatch: Sendable {
    private struct State {
        /// The files that nobody can have changed, by inode, each with the time of its last change.
        var untouched: [UInt64: Int64] = [:]
        /// The inodes that are watched, and by the numbers of their watches.
        var watched: Set<UInt64> = []
        var inodes: [Int32: UInt64] = [:]
    }

    /// What is left of what all of these may take: a quarter of what the kernel gives a user, whose other programs need
    /// theirs. A file holds about 1 KiB of the kernel's memory.
    private static let instances = Locked(FileWatch.quarter(of: "max_user_instances"))
    private static let files = Locked(FileWatch.quarter(of: "max_user_watches"))

    private let descriptor: Int32
    private let state = Locked(State())

    /// Nil when there are enough of them, here or in the kernel.
    package init?() {
        guard Self.take(Self.instances) else { return nil }
        // Its own flags are these.
        let descriptor = inotify_init1(O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            Self.giveBack(Self.instances)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit {
        close(self.descriptor)
        Self.giveBack(Self.files, self.state.withLock { $0.watched.count })
        Self.giveBack(Self.instances)
    }

    private static func take(_ rest: Locked<Int>) -> Bool {
        rest.withLock { rest in
            guard rest > 0 else { return false }
            rest -= 1
            return true
        }
    }

    private static func giveBack(_ rest: Locked<Int>, _ count: Int = 1) {
        rest.withLock { $0 += count }
    }

    /// Nothing where the kernel does not say how much there is.
    private static func quarter(of name: String) -> Int {
        let file = open("/proc/sys/fs/inotify/\(name)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 32)
        let count = read(file, &text, text.count)
        let digits = text.prefix(max(0, count)).filter { $0 > 0x20 }
        return (Int(String(decoding: digits, as: UTF8.self)) ?? 0) / 4
    }

    /// Hears what has been reported so far.
    func catchUp() {
        self.state.withLock { self.catchUp(&$0) }
    }

    /// Whether nobody can have changed the file since `settle`, as of the last `catchUp`.
    func isUntouched(_ stamp: FileStamp) -> Bool {
        self.state.withLock { $0.untouched[stamp.inode] == stamp.changed }
    }

    /// Takes the open file, whose bytes are known and which has this stamp still, for untouched from now on, if nobody can
    /// be about to change it.
    func settle(_ file: Int32, _ stamp: FileStamp) {
        self.state.withLock { state in
            // Our own opening is among it. What others do from here on will be heard later.
            self.catchUp(&state)
            guard self.isWatched(file, stamp.inode, &state), !Self.mayBeWritten(file) else { return }
            var status = stat()
            guard fstat(file, &status) == 0, FileStamp(status) == stamp else { return }
            state.untouched[stamp.inode] = stamp.changed
        }
    }

    private func isWatched(_ file: Int32, _ inode: UInt64, _ state: inout State) -> Bool {
        if state.watched.contains(inode) { return true }
        guard Self.take(Self.files) else { return false }
        let events = IN_OPEN | IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF
        let watch = inotify_add_watch(self.descriptor, "/proc/self/fd/\(file)", UInt32(events))
        guard watch >= 0 else {
            Self.giveBack(Self.files)
            return false
        }
        state.watched.insert(inode)
        state.inodes[watch] = inode
        return true
    }

    /// Whether somebody has the file open for writing, mapped or not, as far as the kernel can tell.
    static func mayBeWritten(_ file: Int32) -> Bool {
        Self.ignoresSignal
        guard fcntl(file, Self.setLease, F_RDLCK) == 0 else { return true }
        _ = fcntl(file, Self.setLease, F_UNLCK)
        return false
    }

    /// Has the next write to the file change its times, however it is done: who has it mapped can write again where that
    /// was done before, and change none, until that has been written back.
    static func exposeWrites(_ file: Int32) {
        if self.mayBeWritten(file) { _ = crt_begin_writeback(file) }
    }

    /// Whoever opens a file for writing while its lease is ours has the kernel send this, which would end the process.
    private static let ignoresSignal: Void = { _ = signal(SIGIO, SIG_IGN) }()

    /// F_SETLEASE, a GNU extension that Swift does not import.
    private static let setLease: Int32 = 1_024

    private func catchUp(_ state: inout State) {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) { buffer in
            while true {
                let count = read(self.descriptor, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + MemoryLayout<inotify_event>.size <= count {
                    let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                    offset += MemoryLayout<inotify_event>.size + Int(event.len)
                    Self.note(event, &state)
                }
            }
        }
    }

    private static func note(_ event: inotify_event, _ state: inout State) {
        guard event.mask & UInt32(IN_Q_OVERFLOW) == 0 else {
            // More has happened than the kernel could tell.
            state.untouched = [:]
            return
        }
        guard let inode = state.inodes[event.wd] else { return }
        state.untouched[inode] = nil
        guard event.mask & UInt32(IN_IGNORED) != 0 else { return }
        // The file is gone, and its number may be given to another.
        state.inodes[event.wd] = nil
        if state.watched.remove(inode) != nil { Self.giveBack(Self.files) }
    }
}
