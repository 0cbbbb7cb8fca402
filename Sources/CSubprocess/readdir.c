// Foundation's Process (6.3.1) lists /proc/self/fd before each spawn and copies whole 256-byte names out of what readdir
// returns. An entry is only as long as its name, so near the end of readdir's buffer the copy runs off the heap: a
// crash once about 1,345 descriptors are open (swift-corelibs-foundation issue 5472).
//
// The executable's own `readdir` comes first in symbol lookup, so this one answers every library of the process. Entries
// of procfs, the one place that is read so, are returned in a copy that has room for a whole name; all others as they are.
#define _GNU_SOURCE
#include "CSubprocess.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "readdir and readdir64 must agree");

static _Thread_local struct dirent roomy;

struct dirent *readdir(DIR *directory) {
    // On this platform the same function under a name that is not replaced here.
    struct dirent *entry = (struct dirent *)readdir64(directory);
    if (entry == NULL) return NULL;
    int code = errno;
    struct statfs system;
    if (fstatfs(dirfd(directory), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) {
        size_t length = entry->d_reclen < sizeof roomy ? entry->d_reclen : sizeof roomy;
        memset(&roomy, 0, sizeof roomy);
        memcpy(&roomy, entry, length);
        entry = &roomy;
    }
    errno = code;
    return entry;
}

int csp_readdir_is_guarded(void) { return dlsym(RTLD_DEFAULT, "readdir") == (void *)readdir; }
