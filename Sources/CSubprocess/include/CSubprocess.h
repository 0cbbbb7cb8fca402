// What Swift cannot say about child processes, and a guard for Foundation's reading of directories.
#pragma once

#include <sys/types.h>

/// A pipe whose ends are close-on-exec and never one of the descriptors 0, 1, 2. Returns -1 and sets errno on failure.
int csp_pipe(int ends[2]);

/// Whether `count` more descriptors can be opened now; 0 if so, -1 with errno if not.
int csp_descriptors_available(int count);

/// How the process behind a pidfd ended, without collecting it (Foundation does that). Returns 1 once it has ended, with
/// the exit code or the signal in `value` and whether it was a signal in `signalled`; 0 while it runs; -1 with errno,
/// ECHILD when somebody has collected it already.
int csp_peek_exit(int pidfd, int *signalled, int *value);

/// Ignores SIGPIPE unless the process has chosen a handler for it.
void csp_ignore_broken_pipes(void);

/// Whether the guarded `readdir` below is the one that every library of this process calls.
int csp_readdir_is_guarded(void);
