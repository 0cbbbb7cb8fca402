// The Linux calls that Swift's Glibc module does not offer: epoll, eventfd, accept4, pipe2, pidfd.
#pragma once

#include <stdint.h>
#include <sys/types.h>

/// One readiness report: `events` is an EPOLL* mask, `token` is what was given at registration.
struct crt_event {
    uint32_t events;
    uint64_t token;
};

/// Every function returns -1 and sets errno on failure, like the call it wraps.
int crt_epoll_create(void);
int crt_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token);
int crt_epoll_modify(int epoll, int descriptor, uint32_t events, uint64_t token);
int crt_epoll_remove(int epoll, int descriptor);
int crt_epoll_wait(int epoll, struct crt_event *events, int capacity, int timeout_ms);
int crt_eventfd(void);

/// Accepted descriptors are close-on-exec and non-blocking.
int crt_accept(int listener);

/// Both ends are close-on-exec; neither is non-blocking.
int crt_pipe(int ends[2]);
int crt_set_nonblocking(int descriptor);
/// Names the calling thread for `ps -L`; longer names than 15 bytes are refused by the kernel and ignored here.
void crt_name_thread(const char *name);
int crt_pidfd_open(pid_t pid);
int crt_pidfd_send_signal(int pidfd, int signal);

/// Starts a program (an absolute path first in `arguments`) in a session of its own, in `/`, with default signals, nothing
/// to read, `output` for what it writes, and no other descriptor. Returns 0 or an errno, like posix_spawn.
int crt_spawn_session(pid_t *process, char *const arguments[], char *const environment[], int output);

/// The errno of the last failed call on this thread (errno is a macro that Swift cannot import from every C target).
int crt_errno(void);

/// A descriptor that tells of each signal of the list that arrives, whichever thread gets it; the signals no longer end
/// the process. A later call takes over from an earlier one.
int crt_signal_descriptor(const int *signals, int count);
/// The next signal, or -1 with EAGAIN.
int crt_next_signal(int descriptor);

/// Raises the soft limit of open descriptors to the hard one; returns the limit in force.
long crt_raise_descriptor_limit(void);

/// Has the allocator give every freed block of 256 KiB or more back to the system.
void crt_return_large_blocks(void);

/// Begins to write back what is dirty of the file, so that the next write through a mapping changes its times again.
/// Returns -1 on failure, like sync_file_range(2), which Swift does not import.
int crt_begin_writeback(int descriptor);

/// Epoll flags as constants, since the macros do not all import.
extern const uint32_t CRT_IN, CRT_OUT, CRT_RDHUP, CRT_HUP, CRT_ERR, CRT_EDGE;
