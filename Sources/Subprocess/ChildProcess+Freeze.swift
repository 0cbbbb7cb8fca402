import Glibc

extension ChildProcess {
    /// Stops every process of the tree where it is. The launcher goes on, so that it can end the tree all the same.
    /// Reads /proc, so it is for emergencies.
    package nonisolated func freeze() {
        self.signalTree(SIGSTOP)
    }

    /// Lets a frozen tree go on.
    package nonisolated func thaw() {
        self.signalTree(SIGCONT)
    }

    /// Looks again until nothing new is found: what was not stopped yet may have forked meanwhile. The launcher collects
    /// what ends only when it runs, so a number that was just read is hardly another process's; a stray SIGSTOP would
    /// need the kernel to run through all numbers between two lines.
    private nonisolated func signalTree(_ number: Int32) {
        guard self.exitStatus == nil else { return }
        var told: Set<Int32> = []
        // Bounded: a tree that grows while it is walked does not keep us here.
        for _ in 0..<8 {
            let found = Self.descendants(of: self.pid).subtracting(told)
            if found.isEmpty { return }
            for pid in found { Glibc.kill(pid, number) }
            told.formUnion(found)
        }
    }

    private static func descendants(of root: Int32) -> Set<Int32> {
        var found: Set<Int32> = []
        var pids = ProcessFiles.children(of: root)
        while let pid = pids.popLast(), found.count < 4096 {
            if found.insert(pid).inserted { pids += ProcessFiles.children(of: pid) }
        }
        return found
    }
}
