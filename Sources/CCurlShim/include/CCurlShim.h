#ifndef CCURLSHIM_H
#define CCURLSHIM_H

#include <stddef.h>

#include "CCurlMulti.h"

// libcurl's easy interface without its variadic functions, which Swift cannot call.

/// Called with a piece of the body and the response's status; returns 0 to go on, anything else to give up.
typedef int (*ccs_body)(void *context, long status, const char *bytes, size_t count);

/// One request. Times in milliseconds; 0 means no bound.
struct ccs_request {
    const char *method;
    const char *url;
    /// "Name: value" each, ended by NULL.
    const char *const *headers;
    /// NULL for a request without a body.
    const char *body;
    size_t body_count;
    long connect_milliseconds;
    long total_milliseconds;
    /// Gives up when nothing has arrived for so many seconds; 0 for no bound.
    long silence_seconds;
    /// Never ask a proxy for this address.
    int direct;
    ccs_body on_body;
    void *context;
};

/// How a request ended.
struct ccs_result {
    /// 0 when a whole response arrived.
    int code;
    /// Whether `on_body` gave up, rather than the network.
    int stopped;
    /// The response's status; 0 when none arrived.
    long status;
    /// What libcurl says about `code`.
    char message[256];
};

/// Prepares libcurl. Call it once, before the process has other threads. Returns 0 when it worked.
int ccs_prepare(void);

/// Performs `request` and blocks until it has ended.
void ccs_perform(const struct ccs_request *request, struct ccs_result *result);

#endif
