import Glibc

/// A pause between two looks at a condition, on a thread that may block.
enum BlockingPause {
    static func milliseconds(_ count: UInt32) -> Int32 {
        usleep(count * 1000)
    }
}
