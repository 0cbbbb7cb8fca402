/*
 * The benchmark's worker: an agent of the Agent Client Protocol that does nothing.
 *
 * It answers each prompt with one message that tells when the prompt arrived, as nanoseconds of CLOCK_MONOTONIC, so that
 * a client on the same host can tell how long the way was. With --snapshot it hands over a small state with each reply.
 *
 * It knows its one client: compact JSON, an id that is a number, one object a line.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* 96 bytes of state, as base64. */
#define WORD "QUJDREVGR0hJSktM"
#define STATE WORD WORD WORD WORD WORD WORD WORD WORD

static bool writes_snapshots;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void send_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) exit(0);
        text += written;
        length -= (size_t)written;
    }
}

static void answer(const char *line, long long arrived) {
    const char *id_member = strstr(line, "\"id\":");
    if (id_member == NULL) return;
    long long id = atoll(id_member + 5);
    char reply[1024];
    int length = 0;
    if (strstr(line, "\"method\":\"initialize\"") != NULL) {
        length = snprintf(reply, sizeof reply,
                          "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"protocolVersion\":1,\"agentCapabilities\":"
                          "{\"_meta\":{\"turnpike\":{\"blob\":%s}}}}}\n",
                          id, writes_snapshots ? "true" : "false");
    } else if (strstr(line, "\"method\":\"session/new\"") != NULL) {
        length = snprintf(reply, sizeof reply, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"sessionId\":\"s\"}}\n",
                          id);
    } else if (strstr(line, "\"method\":\"session/prompt\"") != NULL) {
        char snapshot[512] = "";
        if (writes_snapshots) {
            const char *kind = strstr(line, "\"wants\":\"base\"") != NULL ? "base" : "delta";
            snprintf(snapshot, sizeof snapshot,
                     ",\"_meta\":{\"turnpike\":{\"snapshot\":{\"kind\":\"%s\",\"body\":\"%s\"}}}", kind, STATE);
        }
        length = snprintf(reply, sizeof reply,
                          "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"s\",\"update\":"
                          "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":"
                          "\"at=%lld;\"}}}}\n"
                          "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"stopReason\":\"end_turn\"%s}}\n",
                          arrived, id, snapshot);
    } else {
        length = snprintf(reply, sizeof reply,
                          "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"error\":{\"code\":-32601,\"message\":\"unknown\"}}\n", id);
    }
    send_all(reply, (size_t)length);
}

int main(int count, char **arguments) {
    writes_snapshots = count > 1 && strcmp(arguments[1], "--snapshot") == 0;
    size_t capacity = 64 << 10, used = 0;
    char *buffer = malloc(capacity);
    while (buffer != NULL) {
        if (used + 1 >= capacity) {
            capacity *= 2;
            char *larger = realloc(buffer, capacity);
            if (larger == NULL) return 1;
            buffer = larger;
        }
        ssize_t got = read(STDIN_FILENO, buffer + used, capacity - used - 1);
        if (got <= 0) return 0;
        long long arrived = now();
        used += (size_t)got;
        buffer[used] = 0;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', used - (size_t)(line - buffer))) != NULL) {
            *end = 0;
            answer(line, arrived);
            line = end + 1;
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
    }
    return 1;
}
