#define _GNU_SOURCE
#include "CSubprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

// A process whose standard descriptors are closed would get pipes numbered 0 to 2, which a spawn then overwrites.
static int lift(int descriptor) {
    if (descriptor > 2) return descriptor;
    int lifted = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    int code = errno;
    close(descriptor);
    errno = code;
    return lifted;
}

int csp_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    ends[0] = lift(ends[0]);
    ends[1] = lift(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0) return 0;
    int code = errno;
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
    errno = code;
    return -1;
}

int csp_descriptors_available(int count) {
    int opened[64], used = 0, code = 0;
    if (count > 64) count = 64;
    for (; used < count; used++) {
        opened[used] = used == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : fcntl(opened[0], F_DUPFD_CLOEXEC, 0);
        if (opened[used] < 0) {
            code = errno;
            break;
        }
    }
    while (used > 0) close(opened[--used]);
    errno = code;
    return code == 0 ? 0 : -1;
}

int csp_peek_exit(int pidfd, int *signalled, int *value) {
    siginfo_t info = {0};
    int result;
    do {
        result = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return -1;
    if (info.si_pid == 0) return 0;
    *signalled = info.si_code != CLD_EXITED;
    *value = info.si_status;
    return 1;
}

void csp_ignore_broken_pipes(void) {
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}
