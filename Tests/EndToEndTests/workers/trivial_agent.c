// The smallest worker: answers each prompt with "ok" and keeps nothing. For tests of many workers at once.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The end of the string that begins at the quote `at`.
static const char *string_end(const char *at) {
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1]) at++;
    }
    return at;
}

// The value of the member `name` of the outermost object of `line`; null when there is none.
static const char *member(const char *line, const char *name) {
    size_t length = strlen(name);
    int depth = 0;
    for (const char *at = line; *at; at++) {
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        if (*at != '"') continue;
        const char *end = string_end(at);
        if (!*end) return NULL;
        int is_named = (size_t)(end - at) == length + 1 && memcmp(at + 1, name, length) == 0;
        at = end;
        if (depth != 1 || !is_named) continue;
        const char *value = end + 1;
        while (*value == ' ') value++;
        if (*value != ':') continue;
        for (value++; *value == ' ';) value++;
        return value;
    }
    return NULL;
}

static int names(const char *value, const char *method) {
    size_t length = strlen(method);
    return value && value[0] == '"' && strncmp(value + 1, method, length) == 0 && value[length + 1] == '"';
}

// A request's id as it was written: a number or a string.
static void identity(const char *value, char *out, size_t size) {
    size_t length = value[0] == '"' ? (size_t)(string_end(value) - value) + 1 : strspn(value, "0123456789");
    snprintf(out, size, "%.*s", (int)length, value);
}

static void say(const char *text) {
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) exit(1);
        text += written;
        length -= (size_t)written;
    }
}

static void answer(const char *id, const char *result) {
    char line[512];
    snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\n", id, result);
    say(line);
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        const char *method = member(line, "method"), *value = member(line, "id");
        if (!method || !value) continue;
        char id[128];
        identity(value, id, sizeof id);
        if (names(method, "initialize")) {
            answer(id, "{\"protocolVersion\":1,\"agentCapabilities\":{}}");
        } else if (names(method, "session/new")) {
            answer(id, "{\"sessionId\":\"s\"}");
        } else if (names(method, "session/prompt")) {
            say("{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"s\",\"update\":"
                "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"ok\"}}}}\n");
            answer(id, "{\"stopReason\":\"end_turn\"}");
        } else {
            answer(id, "{}");
        }
    }
    free(line);
    return 0;
}
