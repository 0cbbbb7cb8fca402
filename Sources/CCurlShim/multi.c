#include "CCurlMulti.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct ccs_multi {
    CURLM *curl;
    struct ccs_hooks hooks;
};

struct ccs_transfer {
    struct ccs_multi *owner;
    CURL *easy;
    struct curl_slist *headers;
    struct ccs_sink sink;
    char error[CURL_ERROR_SIZE];
};

// MARK: The loop

static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *context, void *unused) {
    (void)easy;
    (void)unused;
    struct ccs_multi *multi = context;
    int interest = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) interest |= 1;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) interest |= 2;
    multi->hooks.watch(multi->hooks.context, (int)descriptor, interest);
    return 0;
}

static int on_timer(CURLM *curl, long milliseconds, void *context) {
    (void)curl;
    struct ccs_multi *multi = context;
    multi->hooks.alarm(multi->hooks.context, milliseconds);
    return 0;
}

struct ccs_multi *ccs_multi_make(const struct ccs_hooks *hooks) {
    struct ccs_multi *multi = calloc(1, sizeof *multi);
    if (multi == NULL) return NULL;
    multi->hooks = *hooks;
    multi->curl = curl_multi_init();
    if (multi->curl == NULL) {
        free(multi);
        return NULL;
    }
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    return multi;
}

void ccs_multi_free(struct ccs_multi *multi) {
    curl_multi_cleanup(multi->curl);
    free(multi);
}

static void release(struct ccs_transfer *transfer) {
    curl_multi_remove_handle(transfer->owner->curl, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    free(transfer);
}

// Tells of every transfer that has ended.
static void reap(struct ccs_multi *multi) {
    CURLMsg *found;
    int left = 0;
    while ((found = curl_multi_info_read(multi->curl, &left)) != NULL) {
        if (found->msg != CURLMSG_DONE) continue;
        CURLcode code = found->data.result;
        char *private = NULL;
        curl_easy_getinfo(found->easy_handle, CURLINFO_PRIVATE, &private);
        struct ccs_transfer *transfer = (struct ccs_transfer *)private;
        const char *message = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
        transfer->sink.end(transfer->sink.context, (int)code, message);
        release(transfer);
    }
}

void ccs_multi_ready(struct ccs_multi *multi, int descriptor, int readiness) {
    int running = 0;
    int mask = 0;
    if (readiness & 1) mask |= CURL_CSELECT_IN;
    if (readiness & 2) mask |= CURL_CSELECT_OUT;
    if (readiness & 4) mask |= CURL_CSELECT_ERR;
    curl_multi_socket_action(multi->curl, descriptor, mask, &running);
    reap(multi);
}

void ccs_multi_due(struct ccs_multi *multi) {
    int running = 0;
    curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(multi);
}

// MARK: One transfer

static size_t on_header(char *bytes, size_t size, size_t count, void *context) {
    struct ccs_transfer *transfer = context;
    size_t length = size * count;
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r')) length--;
    return transfer->sink.line(transfer->sink.context, bytes, length) == 0 ? size * count : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
    struct ccs_transfer *transfer = context;
    return transfer->sink.body(transfer->sink.context, bytes, size * count) == 0 ? size * count : CURL_WRITEFUNC_PAUSE;
}

static void configure(struct ccs_transfer *transfer, const struct ccs_order *order) {
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)transfer);
    curl_easy_setopt(easy, CURLOPT_URL, order->url);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    // An empty name also keeps the environment's proxies out.
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (order->certificates != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, order->certificates);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, order->connect_milliseconds);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    if (order->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)order->body_count);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, order->body);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, order->method);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

struct ccs_transfer *ccs_transfer_begin(
    struct ccs_multi *multi, const struct ccs_order *order, const struct ccs_sink *sink) {
    struct ccs_transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL) return NULL;
    transfer->owner = multi;
    transfer->sink = *sink;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        free(transfer);
        return NULL;
    }
    int complete = 1;
    for (const char *const *header = order->headers; *header != NULL; header++) {
        struct curl_slist *longer = curl_slist_append(transfer->headers, *header);
        if (longer == NULL) {
            complete = 0;
            break;
        }
        transfer->headers = longer;
    }
    configure(transfer, order);
    if (complete && curl_multi_add_handle(multi->curl, transfer->easy) == CURLM_OK) return transfer;
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    free(transfer);
    return NULL;
}

void ccs_transfer_resume(struct ccs_transfer *transfer) {
    curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
}

void ccs_transfer_drop(struct ccs_transfer *transfer) {
    release(transfer);
}
