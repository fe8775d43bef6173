/* Drives the library as Triton does, from as many threads, to be run under the sanitizers.
 *
 * The scheduler below makes Triton's calls in Triton's order (dynamic_batch_scheduler.cc,
 * instance_queue.cc, rate_limiter.cc of its core): payloads that grow while they wait, rounds
 * that re-examine the queue, payloads merged behind the library's back, requests cancelled while
 * they wait, addresses used again, a last call after the model's end. Exit status 0: no batch
 * exceeded the bound once it had settled, every request was answered, and the modes that cannot
 * be counted were refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct opaque opaque;
opaque *TRITONBACKEND_ModelBatcherInitialize(void **batcher, void *model);
opaque *TRITONBACKEND_ModelBatcherFinalize(void *batcher);
opaque *TRITONBACKEND_ModelBatchInitialize(void *batcher, void **payload);
opaque *TRITONBACKEND_ModelBatchFinalize(void *batcher);
opaque *TRITONBACKEND_ModelBatchIncludeRequest(void *request, void *batcher, bool *include);

enum { MAX_BATCH = 16, MOST = 512, SETTLED_MS = 600, STALLED_MS = 20000, CHANGE_MS = 800 };
enum state { FILLING, WAITING, EXECUTING };

typedef struct request {
    int64_t shape[2];
    double arrived_ms;
    _Atomic bool cancelled;
} request;

typedef struct payload {
    void *pointer; /* the library's */
    enum state state;
    bool saturated, over; /* over: executed or merged, but still the scheduler's current one */
    request *requests[MAX_BATCH];
    size_t count, rows;
    double oldest_ms;
    struct payload *next; /* in the pool */
} payload;

typedef struct model {
    char name[32], file[256], config[512];
    unsigned instances;
    double delay_ms, service_ms;
    unsigned largest; /* rows of a request */
    bool cancels, merges; /* merges: bursts that Triton would merge past the bound */
    void *batcher;
    pthread_mutex_t mutex;
    pthread_cond_t arrived, ready;
    request *queue[MOST];
    payload *payloads[8], *pool, *current;
    size_t queued, waiting;
    bool full, stop, stop_instances;
    uint64_t sent, answered, violations, batches, merged;
    double changed_ms;
    unsigned bound, before;
} model;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pause_ms(double ms) { usleep((useconds_t)(ms * 1000)); }

static unsigned draw(unsigned *seed, unsigned below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, double ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += (long)(ms * 1e6) % 1000000000L;
    t.tv_sec += (time_t)(ms / 1e3) + t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(condition, mutex, &t);
}

/* Triton's C API, as far as the library uses it. */
void TRITONSERVER_ErrorDelete(opaque *error);
opaque *TRITONSERVER_LogMessage(int level, const char *file, int line, const char *text);
opaque *TRITONSERVER_MessageSerializeToJson(void *message, const char **base, size_t *size);
opaque *TRITONSERVER_MessageDelete(void *message);
opaque *TRITONBACKEND_ModelName(void *model, const char **name);
opaque *TRITONBACKEND_ModelConfig(void *model, uint32_t version, void **config);
opaque *TRITONBACKEND_RequestInputByIndex(void *request, uint32_t index, void **input);
opaque *TRITONBACKEND_InputProperties(void *input, const char **name, int *type,
                                      const int64_t **shape, uint32_t *dimensions, uint64_t *bytes,
                                      uint32_t *buffers);

void TRITONSERVER_ErrorDelete(opaque *error) { free(error); }

opaque *TRITONSERVER_LogMessage(int level, const char *file, int line, const char *text) {
    if (level == 2) fprintf(stderr, "%s:%d %s\n", file, line, text);
    return NULL;
}

opaque *TRITONBACKEND_ModelName(void *subject, const char **name) {
    *name = ((model *)subject)->name;
    return NULL;
}

opaque *TRITONBACKEND_ModelConfig(void *subject, uint32_t version, void **config) {
    (void)version;
    *config = strdup(((model *)subject)->config);
    return NULL;
}

opaque *TRITONSERVER_MessageSerializeToJson(void *message, const char **base, size_t *size) {
    *base = message;
    *size = strlen(message);
    return NULL;
}

opaque *TRITONSERVER_MessageDelete(void *message) {
    free(message);
    return NULL;
}

opaque *TRITONBACKEND_RequestInputByIndex(void *subject, uint32_t index, void **input) {
    if (((request *)subject)->shape[0] == 1 && index == 0 && ((uintptr_t)subject & 64))
        return malloc(1); /* now and then an error, which the library has to delete */
    *input = subject;
    return NULL;
}

opaque *TRITONBACKEND_InputProperties(void *input, const char **name, int *type,
                                      const int64_t **shape, uint32_t *dimensions, uint64_t *bytes,
                                      uint32_t *buffers) {
    (void)name, (void)type, (void)bytes, (void)buffers;
    *shape = ((request *)input)->shape;
    *dimensions = 2;
    return NULL;
}

static void respond(model *m, request *r) {
    m->answered++;
    free(r);
}

static void release(model *m, payload *p) {
    p->count = p->rows = 0;
    p->over = true;
    if (p == m->current) return;
    p->next = m->pool;
    m->pool = p;
}

static payload *fresh_payload(model *m) { /* while m->current is still held: never the same one */
    payload *p = m->pool;
    if (p != NULL)
        m->pool = p->next;
    else
        p = malloc(sizeof *p);
    memset(p, 0, sizeof *p);
    return p;
}

static __attribute__((noinline)) void finish_batch(model *m) {
    if (m->current->pointer == NULL) return;
    TRITONBACKEND_ModelBatchFinalize(m->current->pointer);
    m->current->pointer = NULL;
    __asm__ volatile("" ::: "memory"); /* keep the call above from becoming a jump */
}

static __attribute__((noinline)) void new_payload(model *m) {
    payload *before = m->current;
    m->current = fresh_payload(m);
    m->full = false;
    if (before != NULL && before->over) release(m, before);
    TRITONBACKEND_ModelBatchInitialize(m->batcher, &m->current->pointer);
}

static void drop_cancelled(model *m, size_t at) {
    while (at < m->queued && m->queue[at]->cancelled) {
        request *r = m->queue[at];
        memmove(&m->queue[at], &m->queue[at + 1], (--m->queued - at) * sizeof r);
        respond(m, r);
    }
}

/* Returns how many requests at the queue's head to take now; waits for `*wait_ms` where none. */
static __attribute__((noinline)) size_t dynamic_batch(model *m, double *wait_ms) {
    payload *p = m->current;
    size_t pending = 0, rows = 0;
    bool now = false;
    double oldest = 1e300;
    finish_batch(m);
    TRITONBACKEND_ModelBatchInitialize(m->batcher, &p->pointer);
    for (drop_cancelled(m, 0); pending < m->queued && !now; drop_cancelled(m, pending)) {
        request *r = m->queue[pending];
        bool include = false;
        if (p->rows + rows > 0 && p->rows + rows + (size_t)r->shape[0] > MAX_BATCH) {
            m->full = now = true;
            break;
        }
        TRITONBACKEND_ModelBatchIncludeRequest(r, p->pointer, &include);
        if (!include) {
            p->saturated = now = true;
            break;
        }
        rows += (size_t)r->shape[0];
        if (r->arrived_ms < oldest) oldest = r->arrived_ms;
        pending++;
    }
    const double age = now_ms() - oldest;
    *wait_ms = 0;
    if (pending == 0) return 0;
    if (now || p->rows + rows >= MAX_BATCH)
        m->full = true;
    else if (m->delay_ms > 0 && age < m->delay_ms && p->rows == 0) {
        *wait_ms = m->delay_ms - age;
        return 0;
    }
    return pending;
}

static void take(model *m, size_t pending) {
    payload *p = m->current;
    for (size_t i = 0; i < pending; i++) {
        request *r = m->queue[i];
        if (p->count == 0 || r->arrived_ms < p->oldest_ms) p->oldest_ms = r->arrived_ms;
        p->requests[p->count++] = r;
        p->rows += (size_t)r->shape[0];
    }
    m->queued -= pending;
    memmove(m->queue, m->queue + pending, m->queued * sizeof *m->queue);
}

static __attribute__((noinline)) void scheduler_step(model *m) {
    double wait_ms = 0;
    if (m->full || m->current->state == EXECUTING) new_payload(m);
    if (m->queued == 0) {
        wait_until(&m->arrived, &m->mutex, 20);
    } else if (m->waiting >= (size_t)2 * m->instances) {
        wait_until(&m->arrived, &m->mutex, 5);
    } else {
        const size_t pending = dynamic_batch(m, &wait_ms);
        const bool first = pending > 0 && m->current->state == FILLING && m->current->count == 0;
        take(m, pending);
        if (wait_ms > 0) wait_until(&m->arrived, &m->mutex, wait_ms);
        if (first) {
            finish_batch(m);
            m->current->state = WAITING;
            m->payloads[m->waiting++] = m->current;
            pthread_cond_signal(&m->ready);
        }
    }
    pthread_mutex_unlock(&m->mutex); /* others get their turn, as in Triton */
    pthread_mutex_lock(&m->mutex);
}

static void *scheduler(void *subject) {
    model *m = subject;
    pthread_mutex_lock(&m->mutex);
    while (!m->stop) scheduler_step(m);
    pthread_mutex_unlock(&m->mutex);
    return NULL;
}

static payload *dequeue(model *m) {
    payload *p = m->payloads[0];
    memmove(m->payloads, m->payloads + 1, --m->waiting * sizeof p);
    p->state = EXECUTING;
    while (m->delay_ms > 0 && !p->saturated && m->waiting > 0 && !m->payloads[0]->saturated &&
           now_ms() - m->payloads[0]->oldest_ms > m->delay_ms) {
        payload *other = m->payloads[0];
        other->state = EXECUTING; /* even where it is not merged */
        if (p->rows + other->rows > MAX_BATCH) break;
        for (size_t i = 0; i < other->count; i++) p->requests[p->count++] = other->requests[i];
        p->rows += other->rows;
        memmove(m->payloads, m->payloads + 1, --m->waiting * sizeof p);
        m->merged++;
        release(m, other);
    }
    pthread_cond_signal(&m->arrived);
    return p;
}

static void check(model *m, const payload *p) {
    const bool settled = now_ms() - m->changed_ms > SETTLED_MS;
    const unsigned bound = m->bound;
    m->batches++;
    if (settled && bound != 0 && p->count > 1 && p->rows > bound) {
        m->violations++;
        fprintf(stderr, "%s: %zu rows in %zu requests, bound %u\n", m->name, p->rows, p->count, bound);
    }
}

static void *instance(void *subject) {
    model *m = subject;
    pthread_mutex_lock(&m->mutex);
    for (;;) {
        while (m->waiting == 0 && !m->stop_instances) pthread_cond_wait(&m->ready, &m->mutex);
        if (m->waiting == 0) break;
        payload *p = dequeue(m);
        check(m, p);
        pthread_mutex_unlock(&m->mutex);
        pause_ms(m->service_ms);
        pthread_mutex_lock(&m->mutex);
        for (size_t i = 0; i < p->count; i++) respond(m, p->requests[i]);
        release(m, p);
    }
    pthread_mutex_unlock(&m->mutex);
    return NULL;
}

static void write_bound(model *m, const char *text) {
    char scratch[300];
    snprintf(scratch, sizeof scratch, "%s.new", m->file);
    FILE *f = fopen(scratch, "w");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 || rename(scratch, m->file) != 0) abort();
}

static void change(model *m, unsigned *seed) {
    static const char *const none[] = {"", "0", "-3", "many", "8 or so", "99999999999999999999"};
    const unsigned bound = draw(seed, 5) ? draw(seed, MAX_BATCH) + 1 : 0;
    char text[32];
    snprintf(text, sizeof text, "%u\n", bound);
    write_bound(m, bound ? text : none[draw(seed, 6)]);
    pthread_mutex_lock(&m->mutex);
    m->bound = bound;
    m->changed_ms = now_ms();
    pthread_mutex_unlock(&m->mutex);
}

static void send_some(model *m, unsigned *seed, double until_ms) {
    while (now_ms() < until_ms) {
        pthread_mutex_lock(&m->mutex);
        if (m->queued < MOST) {
            request *r = calloc(1, sizeof *r);
            r->shape[0] = 1 + (int64_t)draw(seed, m->largest);
            if (m->merges) r->shape[0] = m->sent % 4 == 3 ? 1 : 9;
            r->arrived_ms = now_ms();
            m->queue[m->queued++] = r;
            m->sent++;
            pthread_cond_signal(&m->arrived);
        }
        if (m->cancels && draw(seed, 4) == 0) /* a client goes away, with all it asked for */
            for (size_t i = 0; i < m->queued; i++) m->queue[i]->cancelled = true;
        pthread_mutex_unlock(&m->mutex);
        if (m->merges && m->sent % 4 != 1 && m->sent % 4 != 2)
            pause_ms(m->sent % 4 == 3 ? m->service_ms + 1 : 30);
        else if (!m->merges && draw(seed, 3) == 0)
            pause_ms((double)draw(seed, 4000) / 1000 * m->service_ms / 2);
    }
}

static bool drained(model *m) {
    const double start = now_ms();
    for (;;) {
        pthread_mutex_lock(&m->mutex);
        const bool done = m->answered == m->sent;
        pthread_mutex_unlock(&m->mutex);
        if (done) return true;
        if (now_ms() - start > STALLED_MS) return false;
        pause_ms(5);
    }
}

static void load(model *m, pthread_t threads[]) {
    TRITONBACKEND_ModelBatcherInitialize(&m->batcher, m);
    m->stop = m->stop_instances = m->full = false;
    new_payload(m);
    pthread_create(&threads[0], NULL, scheduler, m);
    for (unsigned i = 0; i < m->instances; i++) pthread_create(&threads[i + 1], NULL, instance, m);
}

static void unload(model *m, pthread_t threads[]) {
    TRITONBACKEND_ModelBatcherFinalize(m->batcher); /* while the scheduler still runs */
    pthread_mutex_lock(&m->mutex);
    m->current->over = true;
    m->full = true; /* it will ask for one more payload */
    pthread_cond_signal(&m->arrived);
    pthread_mutex_unlock(&m->mutex);
    pause_ms(30);
    pthread_mutex_lock(&m->mutex);
    m->stop = m->stop_instances = true;
    pthread_cond_broadcast(&m->ready);
    pthread_cond_signal(&m->arrived);
    pthread_mutex_unlock(&m->mutex);
    for (unsigned i = 0; i <= m->instances; i++) pthread_join(threads[i], NULL);
}

/* Two modes that the library has to refuse, with a message, as it cannot count in them. */
static __attribute__((noinline)) bool refuses(void *batcher) {
    request r = {.shape = {5, 1}};
    void *payloads[3] = {NULL, NULL, NULL};
    bool included = true;
    for (unsigned i = 0; i < 9; i++) { /* every call to Finalize comes from here */
        TRITONBACKEND_ModelBatchInitialize(batcher, &payloads[i / 3]);
        TRITONBACKEND_ModelBatchIncludeRequest(&r, batcher, &included);
        TRITONBACKEND_ModelBatchIncludeRequest(&r, batcher, &included); /* 10 rows by now */
        TRITONBACKEND_ModelBatchFinalize(batcher);
    }
    return included;
}

static bool refused_modes(const char *folder) {
    static model same_depth, shapes;
    const char *const kinds[] = {"", "\"input\":[{\"is_shape_tensor\":true}],"};
    model *const models[] = {&same_depth, &shapes};
    bool all = true;
    for (unsigned i = 0; i < 2; i++) {
        model *m = models[i];
        snprintf(m->name, sizeof m->name, "refused-%u", i);
        snprintf(m->file, sizeof m->file, "%s/refused", folder);
        snprintf(m->config, sizeof m->config,
                 "{%s\"parameters\":{\"FERRYMAN_LIVE_CAP_FILE\":{\"string_value\":\"%s\"}}}", kinds[i],
                 m->file);
        write_bound(m, "2");
        TRITONBACKEND_ModelBatcherInitialize(&m->batcher, m);
        all = refuses(m->batcher) && all;
        TRITONBACKEND_ModelBatcherFinalize(m->batcher);
    }
    return all;
}

static void *life(void *subject) {
    model *m = subject;
    unsigned seed = (unsigned)m->instances * 7919u + (unsigned)m->delay_ms * 31u + m->largest;
    pthread_t threads[8];
    for (int loads = 0; loads < 2; loads++) {
        load(m, threads);
        for (int changes = 0; changes < 2; changes++) {
            change(m, &seed);
            send_some(m, &seed, now_ms() + CHANGE_MS);
            if (!drained(m)) {
                fprintf(stderr, "%s: stalled at bound %u, %zu queued\n", m->name, m->bound, m->queued);
                exit(2);
            }
        }
        unload(m, threads);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static model models[12];
    pthread_t threads[12];
    uint64_t violations = 0, batches = 0, sent = 0, merged = 0;
    if (argc != 2) return 64;
    if (!refused_modes(argv[1])) return 3;
    for (unsigned i = 0; i < 12; i++) {
        model *m = &models[i];
        snprintf(m->name, sizeof m->name, "model-%u", i);
        snprintf(m->file, sizeof m->file, "%s/bound-%u", argv[1], i);
        snprintf(m->config, sizeof m->config,
                 "{\"parameters\":{\"FERRYMAN_LIVE_CAP_FILE\":{\"string_value\":\"%s\"}}}", m->file);
        m->instances = 1 + i % 3;
        m->delay_ms = i % 2 ? 8 : 0;
        m->service_ms = i % 4 < 2 ? 2 : 6;
        m->largest = i < 6 ? 1 : 6;
        m->cancels = i % 3 == 1;
        if (i == 11) {
            m->merges = true;
            m->instances = 1;
            m->delay_ms = 4;
        }
        pthread_mutex_init(&m->mutex, NULL);
        pthread_cond_init(&m->arrived, NULL);
        pthread_cond_init(&m->ready, NULL);
        pthread_create(&threads[i], NULL, life, m);
    }
    for (unsigned i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
        violations += models[i].violations;
        batches += models[i].batches;
        sent += models[i].sent;
        merged += models[i].merged;
    }
    printf("%lu requests in %lu batches (%lu merged), %lu over the bound\n", sent, batches, merged,
           violations);
    return violations != 0;
}
