#ifndef CCURLMULTI_H
#define CCURLMULTI_H

#include <stddef.h>

// libcurl's multi interface for an event loop, without its variadic functions. One thread only, and never from within
// a callback of `ccs_hooks` or `ccs_sink`.

/// All transfers of one loop.
struct ccs_multi;

/// One request and its answer.
struct ccs_transfer;

/// What a multi wants of its loop.
struct ccs_hooks {
    void *context;
    /// Watch `descriptor`: bit 0 for reading, bit 1 for writing; 0 means no longer. Then call `ccs_multi_ready`.
    void (*watch)(void *context, int descriptor, int interest);
    /// Call `ccs_multi_due` after so many milliseconds instead of when asked before; never when negative.
    void (*alarm)(void *context, long milliseconds);
};

/// A request. Everything is copied.
struct ccs_order {
    const char *method;
    const char *url;
    /// "Name: value" each, ended by NULL.
    const char *const *headers;
    /// NULL for a request without a body.
    const char *body;
    size_t body_count;
    /// A file of certificates to trust in place of the system's; NULL for those.
    const char *certificates;
    long connect_milliseconds;
};

/// Where an answer goes.
struct ccs_sink {
    void *context;
    /// A line of the head without its end; an empty one ends a head. Returns 0 to go on, anything else to give up.
    int (*line)(void *context, const char *bytes, size_t count);
    /// A piece of the body. Returns 0 when it was taken; anything else has it brought again after `ccs_transfer_resume`.
    int (*body)(void *context, const char *bytes, size_t count);
    /// The transfer has ended and is gone: with 0, or with libcurl's code and words.
    void (*end)(void *context, int code, const char *message);
};

/// NULL when libcurl has no memory.
struct ccs_multi *ccs_multi_make(const struct ccs_hooks *hooks);

/// Only when no transfer is left.
void ccs_multi_free(struct ccs_multi *multi);

/// `descriptor` is ready: bit 0 for reading, bit 1 for writing, bit 2 for an error.
void ccs_multi_ready(struct ccs_multi *multi, int descriptor, int readiness);

/// The time that `alarm` named has come.
void ccs_multi_due(struct ccs_multi *multi);

/// Begins a transfer; NULL when libcurl has no memory. Redirects are not followed, no proxy is asked, certificates are
/// checked.
struct ccs_transfer *ccs_transfer_begin(
    struct ccs_multi *multi, const struct ccs_order *order, const struct ccs_sink *sink);

/// Brings what `body` did not take.
void ccs_transfer_resume(struct ccs_transfer *transfer);

/// Ends a transfer without a word to its sink.
void ccs_transfer_drop(struct ccs_transfer *transfer);

#endif
