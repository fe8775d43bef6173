/* Ferryman's live cap: a Triton batching strategy whose batch bound is read from a file while the
 * model serves. docs/live-cap.md has the contract, and why the counting is exact.
 *
 * Triton calls the batch functions of a model from that model's scheduler thread alone, holding
 * the lock of its queue: they do no I/O. A thread of ours reads the file; both share one atomic. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What is used of Triton's C API (tritonserver.h, tritonbackend.h); its objects stay opaque. */
typedef struct opaque Error, Message, Input, Model, Request;
void TRITONSERVER_ErrorDelete(Error *);
Error *TRITONSERVER_LogMessage(int level, const char *file, int line, const char *text);
Error *TRITONSERVER_MessageSerializeToJson(Message *, const char **base, size_t *size);
Error *TRITONSERVER_MessageDelete(Message *);
Error *TRITONBACKEND_ModelName(Model *, const char **name);
Error *TRITONBACKEND_ModelConfig(Model *, uint32_t version, Message **config);
Error *TRITONBACKEND_RequestInputByIndex(Request *, uint32_t index, Input **);
Error *TRITONBACKEND_InputProperties(Input *, const char **name, int *type, const int64_t **shape,
                                     uint32_t *dimensions, uint64_t *bytes, uint32_t *buffers);
#define EXPORT __attribute__((visibility("default"))) Error *

typedef struct batcher { /* one for each loaded version of a model */
    _Atomic uint64_t bound; /* rows in a batch; 0: no bound */
    _Atomic bool retired;
    char name[256], path[1024], start[24]; /* start: stands for an empty or absent file */
    struct batcher *next;                  /* in the list of the retired */
    /* The rest is the scheduler thread's: what is in the payload (Triton's word) being filled. */
    void **payload;   /* where Triton keeps our pointer: differs between successive payloads */
    bool handed_over; /* it waits for an instance, and may still be added to */
    bool unmergeable; /* it is marked so: Triton merges it with no other */
    uint64_t taken, held; /* rows of the requests in it, and of those of this round */
    uintptr_t deepest;    /* where the stack is when Finalize is called at the start of a round */
    bool tells, unable;   /* Finalize was called elsewhere, too; there is no bound, for a reason */
} Batcher;

static Batcher *_Atomic retired;

static bool succeeded(Error *error) {
    if (error != NULL) TRITONSERVER_ErrorDelete(error);
    return error == NULL;
}

static void say(const Batcher *b, int level, const char *what) {
    char text[512];
    snprintf(text, sizeof text, "live cap of model '%s': %s", b->name, what);
    succeeded(TRITONSERVER_LogMessage(level, "livecap.c", __LINE__, text));
}

static void give_up(Batcher *b, const char *why) {
    b->unable = true;
    say(b, 2, why);
}

/* Returns the positive decimal number that `text` is, or 0. Not by strtoul: compiled where glibc is
 * 2.38 or later, that would need such a glibc in Triton's image, too. */
static uint64_t parse(const char *text, size_t size) {
    const char *end = text;
    uint64_t value = 0;
    while (*end >= '0' && *end <= '9' && value <= INT32_MAX) value = 10 * value + (uint64_t)(*end++ - '0');
    return value <= INT32_MAX && end + strspn(end, " \r\n") == text + size ? value : 0;
}

static void refresh(Batcher *b) {
    char text[64] = "", what[64];
    const int file = open(b->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t size = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (size == 0) memcpy(text, b->start, sizeof b->start);
    const bool whole = size >= 0 && size < (ssize_t)sizeof text - 1;
    const uint64_t bound = whole ? parse(text, size == 0 ? strlen(text) : (size_t)size) : 0;
    snprintf(what, sizeof what, bound ? "at most %lu rows in a batch" : "no bound", bound);
    if (bound != atomic_exchange(&b->bound, bound)) say(b, 0, what);
}

static void *watch(void *batcher) {
    for (Batcher *b = batcher; !b->retired; refresh(b))
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    return NULL;
}

/* Copies the string parameter `key` of the model's configuration, or nothing. */
static void parameter(const char *json, size_t size, const char *key, char *value, size_t room) {
    char name[128];
    const size_t skip = (size_t)snprintf(name, sizeof name, "\"%s\":{\"string_value\":\"", key);
    const char *from = memmem(json, size, name, skip);
    const char *to = from ? memchr(from + skip, '"', (size_t)(json + size - from) - skip) : NULL;
    const size_t length = to ? (size_t)(to - from) - skip : 0;
    if (length < room) memcpy(value, from ? from + skip : "", length);
}

EXPORT TRITONBACKEND_ModelBatcherInitialize(Batcher **batcher, Model *model) {
    static const char uncountable[] = "\"is_shape_tensor\":true";
    Batcher *b = *batcher = calloc(1, sizeof *b);
    Message *config = NULL;
    const char *json = NULL, *name = "";
    size_t size = 0;
    pthread_t watcher;
    sigset_t all, before;
    if (b == NULL) return NULL;
    succeeded(TRITONBACKEND_ModelName(model, &name));
    strncpy(b->name, name, sizeof b->name - 1);
    if (succeeded(TRITONBACKEND_ModelConfig(model, 1, &config)) &&
        succeeded(TRITONSERVER_MessageSerializeToJson(config, &json, &size))) {
        parameter(json, size, "FERRYMAN_LIVE_CAP_FILE", b->path, sizeof b->path);
        parameter(json, size, "FERRYMAN_LIVE_CAP_START", b->start, sizeof b->start);
        if (memmem(json, size, uncountable, sizeof uncountable - 1) != NULL)
            give_up(b, "no bound, as the rows of requests with shape tensors are unknown");
    }
    if (config != NULL) succeeded(TRITONSERVER_MessageDelete(config));
    refresh(b);
    sigfillset(&all); /* signals are for the server's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (*b->path && (pthread_create(&watcher, NULL, watch, b) || pthread_detach(watcher)))
        give_up(b, "no bound, as no thread could be started to read it");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return NULL;
}

/* Triton ends the scheduler thread only after this call: what that may still touch is kept. */
EXPORT TRITONBACKEND_ModelBatcherFinalize(Batcher *b) {
    if (b == NULL) return NULL;
    b->retired = true;
    b->next = atomic_exchange(&retired, b);
    return NULL;
}

/* Called for a new payload, and at the start of a round: of looking at the queue from its head. */
EXPORT TRITONBACKEND_ModelBatchInitialize(Batcher *b, void **payload) {
    *payload = b;
    if (b == NULL) return NULL;
    if (payload != b->payload) { /* new: the round goes on, or another call begins one */
        if (b->payload != NULL && !b->tells && !b->unable)
            give_up(b, "no bound, as this Triton does not show when it hands a payload over");
        b->payload = payload;
        b->handed_over = b->unmergeable = false;
        b->taken = 0;
    } else { /* what was held went into the payload, or is still in the queue */
        if (b->handed_over) b->taken += b->held;
        b->held = 0;
    }
    return NULL;
}

/* Called at the start of a round, and when a payload is handed over. That call comes from higher
 * up in Triton than the others; nothing else tells them apart for certain. */
EXPORT TRITONBACKEND_ModelBatchFinalize(Batcher *b) {
    const uintptr_t depth = (uintptr_t)__builtin_frame_address(0);
    if (b->deepest == 0 || depth < b->deepest) b->deepest = depth;
    if (depth > b->deepest) b->handed_over = b->tells = true;
    return NULL;
}

static uint64_t rows_of(Request *request) {
    Input *input = NULL;
    const int64_t *shape = NULL;
    uint32_t n = 0;
    if (!succeeded(TRITONBACKEND_RequestInputByIndex(request, 0, &input)) ||
        !succeeded(TRITONBACKEND_InputProperties(input, NULL, NULL, &shape, &n, NULL, NULL)))
        return 1;
    return n > 0 && shape[0] > 1 ? (uint64_t)shape[0] : 1;
}

EXPORT TRITONBACKEND_ModelBatchIncludeRequest(Request *request, Batcher *b, bool *include) {
    *include = true;
    if (b == NULL || b->unable) return NULL;
    const uint64_t bound = b->bound, rows = rows_of(request), before = b->taken + b->held;
    *include = bound == 0 || (b->unmergeable && (before == 0 || before + rows <= bound));
    if (*include)
        b->held += rows;
    else /* by any refusal; so the first request of each payload is refused once */
        b->unmergeable = true;
    return NULL;
}
