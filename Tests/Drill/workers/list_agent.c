// The drill's worker. Its state is a list: a prompt "ID [MILLISECONDS]" appends ID, after having talked for so long, and
// the reply is the whole list, one item a line. Hands its state over as Turnpike's blob: a base is all items, a delta the
// last one.
//
// A prompt "ID MILLISECONDS mute" closes the output for good and goes on living.
//
// With the argument "quiet" it says nothing before its reply. With the argument "daemon" it also starts, once, a process that forks twice and has a session of its own.

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// A growing text.
struct text {
    char *bytes;
    size_t length, capacity;
};

static void add(struct text *text, const char *bytes, size_t length) {
    if (text->length + length + 1 > text->capacity) {
        text->capacity = (text->length + length + 1) * 2;
        text->bytes = realloc(text->bytes, text->capacity);
        if (!text->bytes) exit(70);
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

static void add_string(struct text *text, const char *string) {
    add(text, string, strlen(string));
}

// The end of the string that begins at the quote `at`.
static const char *string_end(const char *at) {
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1]) at++;
    }
    return at;
}

// The value of the member `name` of the object or, in an array, of its first object, that `json` begins with.
static const char *member(const char *json, const char *name) {
    size_t length = strlen(name);
    int depth = 0;
    if (!json) return NULL;
    while (*json == ' ' || *json == '[') json++;
    for (const char *at = json; *at; at++) {
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        if (depth <= 0) return NULL;
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

static int is(const char *value, const char *string) {
    size_t length = strlen(string);
    return value && value[0] == '"' && strncmp(value + 1, string, length) == 0 && value[length + 1] == '"';
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(struct text *out, const char *bytes, size_t length) {
    for (size_t at = 0; at < length; at += 3) {
        unsigned a = (unsigned char)bytes[at], b = at + 1 < length ? (unsigned char)bytes[at + 1] : 0,
                 c = at + 2 < length ? (unsigned char)bytes[at + 2] : 0;
        char four[4] = {alphabet[a >> 2], alphabet[(a & 3) << 4 | b >> 4],
                        at + 1 < length ? alphabet[(b & 15) << 2 | c >> 6] : '=',
                        at + 2 < length ? alphabet[c & 63] : '='};
        add(out, four, 4);
    }
}

// Decodes the string at the quote `from`.
static void decode(struct text *out, const char *from) {
    unsigned bits = 0, count = 0;
    for (from++; *from && *from != '"'; from++) {
        const char *place = strchr(alphabet, *from);
        if (!place) continue;
        bits = bits << 6 | (unsigned)(place - alphabet);
        count += 6;
        if (count >= 8) {
            count -= 8;
            char byte = (char)(bits >> count);
            add(out, &byte, 1);
        }
    }
}

static struct text list;
static int is_quiet;

// Items are letters, digits and the like, so that only the newlines need an escape.
static void add_escaped(struct text *out, const char *from, size_t length) {
    for (size_t at = 0; at < length; at++) {
        if (from[at] == '\n') add_string(out, "\\n");
        else add(out, from + at, 1);
    }
}

static void say(struct text *line) {
    add_string(line, "\n");
    for (size_t at = 0; at < line->length;) {
        ssize_t written = write(STDOUT_FILENO, line->bytes + at, line->length - at);
        if (written <= 0) exit(1);
        at += (size_t)written;
    }
    free(line->bytes);
}

static void answer(const char *id, const char *result) {
    struct text line = {0};
    add_string(&line, "{\"jsonrpc\":\"2.0\",\"id\":");
    add_string(&line, id);
    add_string(&line, ",\"result\":");
    add_string(&line, result);
    add_string(&line, "}");
    say(&line);
}

static void chunk(const char *text, size_t length) {
    struct text line = {0};
    add_string(&line, "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"s\",\"update\":"
                      "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"");
    add_escaped(&line, text, length);
    add_string(&line, "\"}}}}");
    say(&line);
}

static struct text input;

// The next line, which the caller keeps until the next call; null when none came within `milliseconds` (for ever: -1).
// The process ends with its input.
static char *next_line(int milliseconds) {
    static size_t taken;
    memmove(input.bytes, input.bytes + taken, input.length - taken);
    input.length -= taken;
    taken = 0;
    while (1) {
        char *end = input.length ? memchr(input.bytes, '\n', input.length) : NULL;
        if (end) {
            *end = 0;
            taken = (size_t)(end - input.bytes) + 1;
            return input.bytes;
        }
        struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&ready, 1, milliseconds) == 0) return NULL;
        char buffer[65536];
        ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
        if (count <= 0) exit(0);
        add(&input, buffer, (size_t)count);
    }
}

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// Talks for so long; returns whether the turn was cancelled meanwhile.
static int talk(long milliseconds) {
    long end = now() + milliseconds, rest;
    while ((rest = end - now()) > 0) {
        char *line = next_line(rest < 50 ? (int)rest : 50);
        if (line && is(member(line, "method"), "session/cancel")) return 1;
        if (!line && rest > 50 && !is_quiet) chunk("~", 1);
    }
    return 0;
}

// The last object of an array.
static const char *last_object(const char *array) {
    const char *last = NULL;
    int depth = 0;
    for (const char *at = array; at && *at; at++) {
        if (*at == '"') at = string_end(at);
        if (!*at) break;
        if (*at == '{' && depth == 1) last = at;
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        if (depth == 0) break;
    }
    return last;
}

static void prompt(const char *id, const char *parameters) {
    // What was said before a fresh worker comes first, if anything; what the user says now comes last.
    const char *text = member(last_object(member(parameters, "prompt")), "text");
    const char *wants = member(member(member(parameters, "_meta"), "turnpike"), "wants");
    char item[128] = "", wish[8] = "";
    long milliseconds = 0;
    if (!text || sscanf(text + 1, "%100[^\" ] %ld %7[^\"]", item, &milliseconds, wish) < 1) exit(65);
    if (strcmp(wish, "mute") == 0) {
        close(STDOUT_FILENO);
        while (1) pause();
    }
    int wants_base = is(wants, "base");
    struct text handed = {0};
    int cancelled = talk(milliseconds);
    if (!cancelled) {
        strcat(item, "\n");
        add_string(&list, item);
        chunk(list.bytes, list.length);
        if (!wants_base) encode(&handed, item, strlen(item));
    }
    if (wants_base && list.length) encode(&handed, list.bytes, list.length);
    struct text result = {0};
    add_string(&result, cancelled ? "{\"stopReason\":\"cancelled\"" : "{\"stopReason\":\"end_turn\"");
    if (wants) {
        add_string(&result, ",\"_meta\":{\"turnpike\":{\"snapshot\":{\"kind\":\"");
        add_string(&result, wants_base ? "base" : "delta");
        add_string(&result, "\",\"body\":\"");
        if (handed.bytes) add_string(&result, handed.bytes);
        add_string(&result, "\"}}}");
    }
    add_string(&result, "}");
    answer(id, result.bytes);
    free(result.bytes);
    free(handed.bytes);
}

static void hydrate(const char *parameters) {
    const char *snapshot = member(member(member(parameters, "_meta"), "turnpike"), "snapshot");
    const char *base = member(snapshot, "base"), *delta = member(snapshot, "deltas");
    if (base) decode(&list, base);
    for (; base && delta && *delta && *delta != ']'; delta++) {
        if (*delta != '"') continue;
        decode(&list, delta);
        delta = string_end(delta);
    }
}

// Forks twice into a session of its own, holding the output open.
static void start_daemon(void) {
    if (fork() != 0) return;
    setsid();
    if (fork() == 0) {
        while (1) pause();
    }
    _exit(0);
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "daemon") == 0) start_daemon();
    if (count > 1 && strcmp(arguments[1], "quiet") == 0) is_quiet = 1;
    add_string(&input, "");
    add_string(&list, "");
    while (1) {
        char *line = next_line(-1);
        const char *method = member(line, "method"), *value = member(line, "id");
        if (!method || !value) continue;
        char id[32];
        snprintf(id, sizeof id, "%.*s", (int)strspn(value, "0123456789"), value);
        const char *parameters = member(line, "params");
        if (is(method, "initialize")) {
            answer(id, "{\"protocolVersion\":1,\"agentCapabilities\":{\"_meta\":{\"turnpike\":{\"blob\":true}}}}");
        } else if (is(method, "session/new")) {
            hydrate(parameters);
            answer(id, "{\"sessionId\":\"s\"}");
        } else if (is(method, "session/prompt")) {
            prompt(id, parameters);
        } else {
            answer(id, "{}");
        }
    }
}
