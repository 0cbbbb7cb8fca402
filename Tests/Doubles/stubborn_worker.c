// A worker that speaks the Agent Client Protocol and is hard to get rid of, as its first argument says. In C because it
// is started by the thousand. What lingers ends by itself after a minute.

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(1);
}

static void linger(void) {
    signal(SIGTERM, SIG_IGN);
    alarm(60);
    for (;;) pause();
}

// The gateway's requests are numbered 1, 2, … and each is answered by what it must be.
static void open_session(void) {
    char *line = NULL;
    size_t capacity = 0;
    if (getline(&line, &capacity, stdin) <= 0) _exit(1);
    say("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":1,\"agentCapabilities\":{}}}\n");
    if (getline(&line, &capacity, stdin) <= 0) _exit(1);
    free(line);
}

static void ready(void) { say("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"sessionId\":\"s\"}}\n"); }

// A process of a session of its own, whose parent has gone.
static void leave_daemon(void) {
    pid_t child = fork();
    if (child != 0) {
        return;
    }
    setsid();
    if (fork() != 0) _exit(0);
    linger();
}

int main(int count, char **words) {
    const char *mode = count > 1 ? words[1] : "";
    int ends_with_input = 1;
    alarm(60);
    open_session();
    if (strcmp(mode, "ignores-eof") == 0) {
        ends_with_input = 0;
    } else if (strcmp(mode, "ignores-sigterm") == 0) {
        signal(SIGTERM, SIG_IGN);
        ends_with_input = 0;
    } else if (strcmp(mode, "double-forks") == 0) {
        // With no descriptor of ours: only the process table knows of it.
        pid_t child = fork();
        if (child == 0) {
            for (int descriptor = 0; descriptor < 3; descriptor++) close(descriptor);
            leave_daemon();
            _exit(0);
        }
    } else if (strcmp(mode, "holds-the-pipe") == 0) {
        leave_daemon();
    } else if (strcmp(mode, "forks-children") == 0) {
        for (int i = 0; i < 5; i++) {
            if (fork() == 0) linger();
        }
    } else {
        return 64;
    }
    ready();
    if (!ends_with_input) {
        for (;;) pause();
    }
    char rest[4096];
    while (read(STDIN_FILENO, rest, sizeof rest) > 0) {}
    return 0;
}
