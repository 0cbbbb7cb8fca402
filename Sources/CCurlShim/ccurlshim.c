#include "CCurlShim.h"

#include <curl/curl.h>
#include <string.h>

struct transfer {
    const struct ccs_request *request;
    CURL *easy;
    int stopped;
};

static size_t on_write(char *bytes, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->request->on_body(transfer->request->context, status, bytes, size * count) == 0) return size * count;
    transfer->stopped = 1;
    return 0;
}

int ccs_prepare(void) {
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static struct curl_slist *header_list(const char *const *headers) {
    struct curl_slist *list = NULL;
    for (; *headers != NULL; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);
        if (longer == NULL) break;
        list = longer;
    }
    return list;
}

static void configure(CURL *easy, const struct ccs_request *request, struct transfer *transfer, char *error) {
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    // Signals belong to the program; name look-ups are bounded by the resolver instead.
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_milliseconds);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->total_milliseconds);
    if (request->silence_seconds > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, request->silence_seconds);
    }
    if (request->direct) curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (request->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_count);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

void ccs_perform(const struct ccs_request *request, struct ccs_result *result) {
    char error[CURL_ERROR_SIZE] = "";
    memset(result, 0, sizeof *result);
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        result->code = CURLE_FAILED_INIT;
        strcpy(result->message, "libcurl gives no handle");
        return;
    }
    struct transfer transfer = {.request = request, .easy = easy};
    struct curl_slist *headers = header_list(request->headers);
    configure(easy, request, &transfer, error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &result->status);
    result->code = (int)code;
    result->stopped = transfer.stopped;
    const char *message = error[0] != '\0' ? error : curl_easy_strerror(code);
    strncpy(result->message, message, sizeof result->message - 1);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
}
