#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Begins to write back what is dirty of the file (sync_file_range(2), a GNU extension that Swift does not import), so that
/// the next write through a mapping changes its times again. Returns -1 on failure, like the call.
static inline int carchive_begin_writeback(int descriptor) {
    return (int)syscall(SYS_sync_file_range, descriptor, 0L, 0L, 2L);
}
