/*
 * The benchmark's client: a closed loop over HTTP. Each conversation has a connection of its own, posts a turn, reads the
 * stream of its events to the end, and posts the next.
 *
 *   load HOST PORT TOKEN AGENT PREFIX CONVERSATIONS WARM-UP SECONDS
 *
 * Each conversation first does WARM-UP turns that do not count; then all begin together. Prints one line of JSON.
 * Latencies are from the moment before the request is written: to the prompt's arrival at the worker, which the reply
 * tells ("at=" and nanoseconds of CLOCK_MONOTONIC, which all processes of a host share), and to the end of the stream.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 32 << 10, REQUEST_BYTES = 1024, PATIENCE_MS = 60000, MOST_SAMPLES = 4 << 20 };

struct conversation {
    int socket;
    int index;
    int warm_ups_left;
    long long sent_at;
    size_t used;
    char answer[ANSWER_BYTES];
};

static const char *host, *token, *agent, *prefix;
static struct sockaddr_in address;
static long long measured_from, measured_until;
static long long *to_worker, *to_end;
static size_t samples, failures;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void dial(struct conversation *it, int poll) {
    it->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (it->socket < 0 || connect(it->socket, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    int yes = 1;
    setsockopt(it->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(it->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, it->socket, &event) != 0) die("epoll_ctl");
}

static void post(struct conversation *it) {
    static const char body[] = "{\"input\":\"What is the time?\"}";
    char request[REQUEST_BYTES];
    int length = snprintf(request, sizeof request,
                          "POST /v1/agents/%s/conversations/%s-%d/turns HTTP/1.1\r\nHost: %s\r\n"
                          "Authorization: Bearer %s\r\nAccept: text/event-stream\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          agent, prefix, it->index, host, token, sizeof body - 1, body);
    it->used = 0;
    it->sent_at = now();
    if (write(it->socket, request, (size_t)length) != length) die("write");
}

/* A response is whole with its last chunk, or, where it has a length (an error), with its last byte. */
static bool is_whole(const struct conversation *it) {
    const char *body = strstr(it->answer, "\r\n\r\n");
    if (body == NULL) return false;
    const char *length = strstr(it->answer, "Content-Length: ");
    if (length != NULL && length < body) return it->used >= (size_t)(body + 4 - it->answer) + (size_t)atoll(length + 16);
    return memcmp(it->answer + it->used - 7, "\r\n0\r\n\r\n", 7) == 0;
}

static void count(struct conversation *it, long long ended_at) {
    const char *arrived = strstr(it->answer, "at=");
    if (strncmp(it->answer, "HTTP/1.1 200", 12) != 0 || strstr(it->answer, "turn.completed") == NULL || arrived == NULL) {
        if (failures++ == 0) fprintf(stderr, "load: a turn failed: %.600s\n", it->answer);
        return;
    }
    if (measured_from == 0 || it->sent_at < measured_from || ended_at > measured_until || samples == MOST_SAMPLES) return;
    to_worker[samples] = atoll(arrived + 3) - it->sent_at;
    to_end[samples] = ended_at - it->sent_at;
    samples++;
}

/* True when a response is whole. */
static bool take(struct conversation *it) {
    while (it->used < ANSWER_BYTES - 1) {
        ssize_t got = read(it->socket, it->answer + it->used, ANSWER_BYTES - 1 - it->used);
        if (got < 0 && errno == EAGAIN) return false;
        if (got <= 0) {
            fprintf(stderr, "load: the connection ended after: %.400s\n", it->answer);
            die("read");
        }
        it->used += (size_t)got;
        it->answer[it->used] = 0;
        if (is_whole(it)) return true;
    }
    errno = EMSGSIZE;
    die("a response");
    return false;
}

static int ascending(const void *left, const void *right) {
    long long a = *(const long long *)left, b = *(const long long *)right;
    return (a > b) - (a < b);
}

static double milliseconds(long long *sorted, double share) {
    return samples == 0 ? 0 : (double)sorted[(size_t)((double)(samples - 1) * share)] / 1e6;
}

static void report(double seconds, double cpu) {
    qsort(to_worker, samples, sizeof *to_worker, ascending);
    qsort(to_end, samples, sizeof *to_end, ascending);
    printf("{\"turns\": %zu, \"rate\": %.1f, \"failures\": %zu, \"worker_p50\": %.3f, \"worker_p99\": %.3f, "
           "\"end_p50\": %.3f, \"end_p99\": %.3f, \"cpu\": %.3f}\n",
           samples, (double)samples / seconds, failures, milliseconds(to_worker, 0.5), milliseconds(to_worker, 0.99),
           milliseconds(to_end, 0.5), milliseconds(to_end, 0.99), cpu / seconds);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Tells the runner, which notes the other processes' CPU time at the same moments. */
static void mark(const char *what) {
    fprintf(stderr, "%s\n", what);
}

int main(int argument_count, char **arguments) {
    if (argument_count != 9) return 64;
    host = arguments[1];
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[2]))};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("not an IPv4 address");
    token = arguments[3], agent = arguments[4], prefix = arguments[5];
    int number = atoi(arguments[6]), warm_up = atoi(arguments[7]), parked = 0;
    double seconds = atof(arguments[8]), cpu = 0;
    struct conversation *all = calloc((size_t)number, sizeof *all);
    to_worker = calloc(MOST_SAMPLES, sizeof *to_worker);
    to_end = calloc(MOST_SAMPLES, sizeof *to_end);
    int poll = epoll_create1(0);
    if (all == NULL || to_worker == NULL || to_end == NULL || poll < 0) die("memory");
    for (int index = 0; index < number; index++) {
        all[index].index = index;
        all[index].warm_ups_left = warm_up;
        dial(&all[index], poll);
        post(&all[index]);
    }
    struct epoll_event events[256];
    while (measured_from == 0 || now() < measured_until) {
        int ready = epoll_wait(poll, events, 256, PATIENCE_MS);
        if (ready == 0) die("nothing happened for a minute");
        for (int position = 0; position < ready; position++) {
            struct conversation *it = events[position].data.ptr;
            if (!take(it)) continue;
            count(it, now());
            if (measured_from == 0 && --it->warm_ups_left <= 0) {
                parked++;
                continue;
            }
            post(it);
        }
        if (measured_from != 0 || parked < number) continue;
        mark("begin");
        cpu = cpu_seconds();
        measured_from = now();
        measured_until = measured_from + (long long)(seconds * 1e9);
        for (int index = 0; index < number; index++) post(&all[index]);
    }
    mark("end");
    report(seconds, cpu_seconds() - cpu);
    return failures == 0 ? 0 : 2;
}
