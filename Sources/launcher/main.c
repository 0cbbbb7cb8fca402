// turnpike-launcher: stands between a parent process and one program, so that the program's whole tree can be ended.
//
//   turnpike-launcher -p <parent pid> [-d dir] [-u uid -g gid] [-n] [-w] [-c dir -m limit] [-N|-P|-A|-F|-T|-C limit]
//                     -- /path/program args...
//   turnpike-launcher -x [-d dir] [-n] [-N|-P|-A|-F|-T|-C limit] -- /path/program args...
//
// With -x it only becomes the program: the inner half, where a sandbox stands between a launcher and its program. The
// outer half then has -w: the sandbox's own process must not die of a SIGTERM that is meant for the program within.
//
// With -c it makes a control group in that directory, which counts processes and allows no more than -m says, and starts
// the program within.
//
// The launcher starts the program as the leader of a process group of its own and waits. It is a subreaper: whatever the
// program leaves behind, double-forked or in another session, becomes the launcher's child and is found. It ends the tree
//   - when the program ends by itself,
//   - on SIGUSR1, which is also what the kernel sends when the parent dies;
// and passes SIGTERM, SIGINT and SIGHUP on to the program's group. When nothing of the tree is left it ends exactly as
// the program ended: the same exit code, or the same signal.
//
// A program that could not be started makes the launcher exit with 127 (no such file) or 126 (anything else) after one
// line on standard error, "turnpike-launcher: cannot <step> <what>: <reason>". Nothing else was written by then, because
// no program ran: that line at the very start of standard error is how a parent tells it from a program's own 126 or 127.
//
// Built with `cc -O2 -static`: it must start fast and depend on nothing. It keeps its own privileges and has no limits
// set; only the program gets those, so that the program can neither signal a privileged launcher nor starve it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CANNOT_START = 126, NOT_FOUND = 127 };

struct order {
    pid_t parent;
    const char *directory;
    long uid, gid;  // -1: keep
    const char *groups;
    long long processes;
    int no_new_privileges;
    int is_wrapper;
    int only_executes;
    struct {
        int option, resource;
        long long value;  // -1: keep
    } limits[6];
    char **program;
};

static struct order order = {
    .uid = -1,
    .gid = -1,
    .limits = {{'N', RLIMIT_NOFILE, -1}, {'P', RLIMIT_NPROC, -1}, {'A', RLIMIT_AS, -1},
               {'F', RLIMIT_FSIZE, -1}, {'T', RLIMIT_CPU, -1}, {'C', RLIMIT_CORE, -1}},
};

static pid_t program;
static int program_status;
static int program_ended;

// Written by the vforked child, which shares our memory, and read once it has execed or exited.
static const char *volatile failed_step;
static const char *volatile failed_what;
static volatile int failed_errno;

static void refuse(const char *step, const char *what, const char *reason) {
    dprintf(2, "turnpike-launcher: cannot %s %s: %s\n", step, what, reason);
}

static long long number(const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0) {
        refuse("understand", text, "not a number");
        exit(CANNOT_START);
    }
    return value;
}

static void parse(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "+p:d:u:g:nwxc:m:N:P:A:F:T:C:")) != -1) {
        switch (option) {
        case 'p': order.parent = (pid_t)number(optarg); break;
        case 'd': order.directory = optarg; break;
        case 'u': order.uid = number(optarg); break;
        case 'g': order.gid = number(optarg); break;
        case 'n': order.no_new_privileges = 1; break;
        case 'c': order.groups = optarg; break;
        case 'm': order.processes = number(optarg); break;
        case 'w': order.is_wrapper = 1; break;
        case 'x': order.only_executes = 1; break;
        case '?': exit(CANNOT_START);
        default:
            for (size_t i = 0; i < 6; i++) {
                if (order.limits[i].option == option) order.limits[i].value = number(optarg);
            }
        }
    }
    order.program = argv + optind;
    if ((order.parent == 0) != order.only_executes || order.program[0] == NULL) {
        refuse("start", "anything", "-p <parent pid> or -x, and a program, are needed");
        exit(CANNOT_START);
    }
}

// A parent may block signals or ignore them (a runtime's threads do); a program must not inherit either.
static void reset_signals(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    // Not through libc, which keeps two signals to itself: those can be ignored by a parent too. All zero is SIG_DFL.
    unsigned long action[8] = {0};
    for (int number = 1; number <= SIGRTMAX; number++) syscall(SYS_rt_sigaction, number, action, NULL, 8);
}

static void fail(const char *step, const char *what) {
    if (order.only_executes) {
        int code = errno;
        refuse(step, what, strerror(code));
        _exit(code == ENOENT ? NOT_FOUND : CANNOT_START);
    }
    failed_errno = errno;
    failed_step = step;
    failed_what = what;
    _exit(1);
}

static char group[4096];

static int put(const char *name, const char *text) {
    char path[sizeof group + 32];
    snprintf(path, sizeof path, "%s/%s", group, name);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    ssize_t count = write(descriptor, text, strlen(text));
    int code = errno;
    close(descriptor);
    errno = code;
    return count < 0 ? -1 : 0;
}

// A group of this number may be there already: of a launcher that was killed.
static void make_group(void) {
    char limit[32];
    snprintf(limit, sizeof limit, "%lld", order.processes);
    snprintf(group, sizeof group, "%s/turnpike-%d", order.groups, getpid());
    if ((mkdir(group, 0755) != 0 && errno != EEXIST) || put("pids.max", limit) != 0) {
        refuse("make", group, strerror(errno));
        rmdir(group);
        exit(CANNOT_START);
    }
}

// A limit above the hard one is left at the hard one: that is already stricter than what was asked for.
static void set_limit(int resource, long long value) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0) fail("read", "a resource limit");
    if ((rlim_t)value < limit.rlim_max) limit.rlim_max = (rlim_t)value;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(resource, &limit) != 0) fail("set", "a resource limit");
}

// Runs in the vforked child: turns it into the program. The order matters: limits while still privileged, groups before
// the group before the user, the directory as the user, and the death signal last, because a change of user clears it.
static void become_program(pid_t launcher) {
    // A session of its own: no terminal of the parent's to read or to type into.
    if (!order.only_executes && setsid() < 0) fail("lead", "a session");
    if (order.groups != NULL && put("cgroup.procs", "0") != 0) fail("enter", group);
    for (size_t i = 0; i < 6; i++) {
        if (order.limits[i].value >= 0) set_limit(order.limits[i].resource, order.limits[i].value);
    }
    if (order.gid >= 0) {
        gid_t gid = (gid_t)order.gid;
        if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0) fail("take", "the group");
    }
    if (order.uid >= 0) {
        uid_t uid = (uid_t)order.uid;
        if (setresuid(uid, uid, uid) != 0) fail("take", "the user");
    }
    if (order.directory != NULL && chdir(order.directory) != 0) fail("enter", order.directory);
    if (order.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("give up", "new privileges");
    if (syscall(SYS_close_range, 3, ~0U, 0) != 0) fail("close", "inherited descriptors");
    if (!order.only_executes) {
        // Should someone kill the launcher itself, the program does not stay behind.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != launcher) _exit(1);
    }
    sigset_t blocked;
    sigemptyset(&blocked);
    if (order.is_wrapper) {
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGINT);
        sigaddset(&blocked, SIGHUP);
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    execv(order.program[0], order.program);
    fail("execute", order.program[0]);
}

// Collects everything that has ended. Returns 0 when no child is left. The program's group is killed before the program
// is collected, while its number cannot have been given to anyone else.
static int collect(void) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            if (errno == EINTR) continue;
            return 0;
        }
        if (info.si_pid == 0) return 1;
        if (info.si_pid == program) kill(-program, SIGKILL);
        int status;
        if (waitpid(info.si_pid, &status, 0) == program && info.si_pid == program) {
            program_status = status;
            program_ended = 1;
        }
    }
}

// Sends a signal to each direct child outside the program's group: what the program left behind and the kernel gave to
// us. A child cannot vanish or be replaced before we collect it, so this never hits a stranger. Returns how many got it.
static int signal_child(pid_t pid, int number) {
    if (number != SIGKILL && getpgid(pid) == program) return 0;
    return kill(pid, number) == 0;
}

static int parent_of(const char *name) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return -1;
    int parent = -1;
    char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (end == NULL || sscanf(end, ") %*c %d", &parent) != 1) parent = -1;
    fclose(file);
    return parent;
}

static int signal_children(int number) {
    int count = 0;
    pid_t pid;
    FILE *children = fopen("/proc/thread-self/children", "re");
    if (children != NULL) {
        while (fscanf(children, "%d", &pid) == 1) count += signal_child(pid, number);
        fclose(children);
        return count;
    }
    // A kernel without CONFIG_PROC_CHILDREN: ask every process who its parent is.
    DIR *processes = opendir("/proc");
    if (processes == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        pid = atoi(entry->d_name);
        if (pid > 0 && parent_of(entry->d_name) == getpid()) count += signal_child(pid, number);
    }
    closedir(processes);
    return count;
}

// Kills until nothing is left. Children of the killed become ours, so each round reaches one level deeper. Stops only
// for children that may not be signalled at all (a set-uid program that outranks us).
static void end_tree(void) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (!program_ended) kill(-program, SIGKILL);
    while (collect()) {
        if (signal_children(SIGKILL) == 0 && collect()) return;
        struct timespec round = {.tv_nsec = 20 * 1000 * 1000};
        sigtimedwait(&child, NULL, &round);
    }
}

// Ends as the program ended.
static void pass_on(void) {
    if (!WIFSIGNALED(program_status)) _exit(program_ended ? WEXITSTATUS(program_status) : CANNOT_START);
    int number = WTERMSIG(program_status);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    _exit(128 + number);
}

int main(int argc, char **argv) {
    reset_signals();
    parse(argc, argv);
    if (order.only_executes) become_program(0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    // A parent that died before the line above sent no signal.
    if (getppid() != order.parent) return CANNOT_START;

    if (order.groups != NULL) make_group();
    pid_t launcher = getpid();
    program = vfork();
    if (program == 0) become_program(launcher);
    if (program < 0 || failed_step != NULL) {
        const char *reason = strerror(program < 0 ? errno : failed_errno);
        refuse(program < 0 ? "start" : failed_step, program < 0 ? "a process" : failed_what, reason);
        if (order.groups != NULL) rmdir(group);
        return failed_errno == ENOENT ? NOT_FOUND : CANNOT_START;
    }
    // The program's pipes are its own: an end of file must not wait for us.
    close(0);
    close(1);
    close(2);

    sigset_t watched;
    sigemptyset(&watched);
    for (const int *s = (int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, 0}; *s != 0; s++) sigaddset(&watched, *s);
    while (!program_ended) {
        int number = sigwaitinfo(&watched, NULL);
        if (number == SIGCHLD) {
            collect();
        } else if (number == SIGUSR1) {
            break;
        } else if (number > 0) {
            kill(-program, number);
            signal_children(number);
        }
    }
    end_tree();
    if (order.groups != NULL) rmdir(group);
    pass_on();
}
