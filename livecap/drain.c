/* Ferryman's drain: lets clients that keep their HTTP/1 connections leave a Triton that ends.
 * docs/ending-pods.md has the contract, and what Triton does without it.
 *
 * Preloaded into tritonserver, it stands between libevent and the C library. It follows the
 * framing of every connection (RFC 9112) and does nothing else until a flag file exists. From then
 * on it adds `Connection: close` to each answer, and ends reading on connections that rest, which
 * libevhtp takes as the client's own end. Whatever it does not understand it passes through:
 * a connection of which it lost track is never touched again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { FDS = 65536, HEAD = 8192, PARTS = 64, POLL_MS = 100, TOLD_MS = 1000, WINDOW_MS = 10000 };
static const char CLOSE[] = "Connection: close\r\n";
static const char CLOSE_AS_LONG[] = "close     ", KEEP_ALIVE[] = "keep-alive";

typedef struct message { /* how far one direction of a connection is */
    enum { START, FIELDS, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, LOST } state;
    bool chunked, sized;
    int status; /* of an answer */
    uint64_t left;
    size_t length; /* of the line that is being read; its beginning is kept */
    char line[96];
} Message;

typedef struct edit { /* `text` at a place of what is written, for as many bytes of it or for none */
    size_t at;
    const char *text;
    size_t size, replaced;
} Edit;

typedef struct connection {
    pthread_mutex_t lock; /* zero is PTHREAD_MUTEX_INITIALIZER on Linux */
    _Atomic bool followed;
    bool head, told, ended; /* a HEAD request waits; an answer said close; reading was ended */
    int listener;
    Edit owed; /* what of an edit the socket has not taken yet */
    uint64_t asked, answered, active_ms;
    Message in, out;
} Connection;

static Connection connections[FDS];
static _Atomic bool speaks_http[FDS]; /* by listening socket */
static _Atomic int highest;
static _Atomic bool awake, draining;
static uint64_t window_ms = WINDOW_MS;
static const char *flag;

static int (*real_accept4)(int, __SOCKADDR_ARG, socklen_t *, int);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_close)(int);

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* ---- Framing ---------------------------------------------------------------------------------- */

static bool begin_body(Message *m, bool answer, bool *head) {
    const bool empty = answer && (*head || m->status == 204 || m->status == 304);
    if (answer && m->status / 100 == 1) { /* an interim answer: the answer itself follows */
        m->state = m->status == 101 ? LOST : START;
        return false;
    }
    if (answer) *head = false;
    if (!empty && m->chunked && m->sized) m->state = LOST;
    else if (!empty && m->chunked) m->state = CHUNK_SIZE;
    else if (!empty && answer && !m->sized) m->state = LOST; /* it lasts until the connection ends */
    else if (!empty && m->left > 0) m->state = BODY;
    else m->state = START;
    return m->state == START;
}

static void begin_message(Message *m, bool answer, bool *head) {
    const char *line = m->line;
    m->chunked = m->sized = false;
    m->left = 0;
    m->state = FIELDS;
    if (answer) {
        const bool known = m->length >= 12 && strncmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ';
        m->status = 0;
        for (int i = 9; known && i < 12; i++)
            m->status = line[i] >= '0' && line[i] <= '9' ? 10 * m->status + line[i] - '0' : -1000;
        if (m->status < 100 || m->status > 599) m->state = LOST;
        return;
    }
    const size_t method = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (method == 0 || line[method] != ' ' || !strncmp(line, "PRI ", 4) || !strncmp(line, "CONNECT ", 8))
        m->state = LOST;
    if (!strncmp(line, "HEAD ", 5)) *head = true;
}

static const char *value_of(const char *line, const char *name) {
    const size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') return NULL;
    return line + length + 1 + strspn(line + length + 1, " \t");
}

static bool ends_at(const char *text) { return text[strspn(text, " \t")] == 0; }

static void read_field(Message *m) {
    const char *length = value_of(m->line, "Content-Length");
    const char *coding = value_of(m->line, "Transfer-Encoding");
    if (m->line[0] == ' ' || m->line[0] == '\t') m->state = LOST; /* a folded line */
    if (coding != NULL) {
        const bool known = strncasecmp(coding, "chunked", 7) == 0 && ends_at(coding + 7);
        if (m->chunked || !known) m->state = LOST;
        m->chunked = true;
    }
    if (length != NULL) {
        const size_t digits = strspn(length, "0123456789");
        if (m->sized || digits == 0 || digits > 18 || !ends_at(length + digits)) m->state = LOST;
        for (size_t i = 0; m->state != LOST && i < digits; i++)
            m->left = 10 * m->left + (uint64_t)(length[i] - '0');
        m->sized = true;
    }
}

static void begin_chunk(Message *m) {
    static const char digits[] = "0123456789abcdef";
    size_t i = 0;
    m->left = 0;
    for (const char *at; i < 15 && m->line[i] && (at = strchr(digits, m->line[i] | 32)) != NULL; i++)
        m->left = 16 * m->left + (uint64_t)(at - digits);
    if (i == 0 || (m->line[i] != 0 && strchr("; \t", m->line[i]) == NULL)) m->state = LOST;
    else m->state = m->left ? CHUNK : TRAILER;
}

/* Takes a whole line; returns whether the message ends with it. */
static bool take_line(Message *m, bool answer, bool *head) {
    const bool empty = m->length == 0;
    m->line[least(m->length, sizeof m->line - 1)] = 0;
    const bool cut = m->length >= sizeof m->line;
    bool ends = false;
    if (m->state == START && !empty) begin_message(m, answer, head);
    else if (m->state == START && answer) m->state = LOST; /* requests may follow an empty line */
    else if (m->state == FIELDS && empty) ends = begin_body(m, answer, head);
    else if (m->state == FIELDS) {
        read_field(m);
        if (cut && m->sized && value_of(m->line, "Content-Length")) m->state = LOST;
    } else if (m->state == CHUNK_SIZE) begin_chunk(m);
    else if (m->state == CHUNK_END) m->state = empty ? CHUNK_SIZE : LOST;
    else if (m->state == TRAILER && empty) {
        m->state = START;
        ends = true;
    }
    m->length = 0;
    return ends;
}

/* Follows some bytes; returns how many messages ended in them. */
static uint64_t follow(Message *m, const char *data, size_t size, bool answer, bool *head) {
    uint64_t ended = 0;
    for (size_t i = 0; i < size && m->state != LOST;) {
        if (m->state == BODY || m->state == CHUNK) {
            const size_t some = least(size - i, (size_t)m->left);
            i += some;
            m->left -= some;
            if (m->left == 0 && m->state == BODY) ended++;
            if (m->left == 0) m->state = m->state == BODY ? START : CHUNK_END;
            continue;
        }
        const char c = data[i++];
        if (c == 0) m->state = LOST; /* no text: TLS, or another protocol */
        else if (c != '\n') {
            if (m->length < sizeof m->line) m->line[m->length] = c;
            m->length++;
        } else {
            const size_t last = m->length - 1;
            if (m->length > 0 && m->length <= sizeof m->line && m->line[last] == '\r') m->length = last;
            ended += take_line(m, answer, head);
        }
    }
    return ended;
}

static uint64_t follow_parts(Message *m, const struct iovec *parts, int count, size_t size, bool answer,
                             bool *head) {
    uint64_t ended = 0;
    for (int i = 0; i < count && size > 0; i++) {
        const size_t some = least(size, parts[i].iov_len);
        ended += follow(m, parts[i].iov_base, some, answer, head);
        size -= some;
    }
    return ended;
}

static bool between(const Message *m) { return m->state == START && m->length == 0; }

/* ---- Connections ------------------------------------------------------------------------------ */

/* Returns the connection, locked, or NULL. The lock is also held while the socket is used, which
 * never blocks, so that what is known of it is what has happened to it. */
static Connection *hold(int fd) {
    if (!awake || fd < 0 || fd >= FDS || !connections[fd].followed) return NULL;
    Connection *c = &connections[fd];
    pthread_mutex_lock(&c->lock);
    if (c->followed) return c;
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void let_go(Connection *c) { pthread_mutex_unlock(&c->lock); }

/* Whether everything that was read is answered and nothing waits to be read. */
static bool rests(int fd, const Connection *c) {
    const int before = errno;
    int waiting = 0;
    const bool quiet = between(&c->in) && between(&c->out) && c->asked == c->answered && c->owed.size == 0;
    const bool empty = quiet && ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0;
    errno = before;
    return empty;
}

static void end_if_idle(int fd, Connection *c, uint64_t since_ms) {
    const uint64_t now = now_ms(), from = c->active_ms > since_ms ? c->active_ms : since_ms;
    const bool due = now - from >= (c->told ? TOLD_MS : window_ms);
    if (c->ended || !due || (c->asked == 0 && !speaks_http[c->listener]) || !rests(fd, c)) return;
    c->ended = shutdown(fd, SHUT_RD) == 0;
}

static void say(const char *what) {
    char text[128];
    const int size = snprintf(text, sizeof text, "ferryman drain: %s\n", what);
    if (write(STDERR_FILENO, text, (size_t)size) < 0) return;
}

static void *watch(void *unused) {
    for (uint64_t since_ms = 0;; nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL)) {
        const bool wanted = access(flag, F_OK) == 0;
        if (wanted && !draining) since_ms = now_ms();
        if (wanted != draining) say(wanted ? "answers close their connections" : "connections stay open");
        draining = wanted;
        for (int fd = 0; wanted && fd <= highest; fd++) {
            Connection *c = hold(fd);
            if (c == NULL) continue;
            end_if_idle(fd, c, since_ms);
            let_go(c);
        }
    }
    return unused;
}

static void start_watching(void) {
    pthread_t watcher;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&watcher, NULL, watch, NULL) == 0) pthread_detach(watcher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- Answers ---------------------------------------------------------------------------------- */

/* Decides what to change in an answer so that it says close; false: leave it as it is. */
static bool find_edit(Connection *c, const struct iovec *parts, int count, Edit *edit) {
    char head[HEAD + 1];
    size_t size = 0;
    for (int i = 0; i < count && size < HEAD; i++) {
        const size_t some = least(parts[i].iov_len, HEAD - size);
        memcpy(head + size, parts[i].iov_base, some);
        size += some;
    }
    head[size] = 0;
    const char *end = memmem(head, size, "\r\n\r\n", 4), *line = memmem(head, size, "\r\n", 2);
    const bool http = size >= 16 && strncmp(head, "HTTP/1.", 7) == 0 && head[8] == ' ';
    if (end == NULL || !http || head[9] < '2' || head[9] > '5') return false;
    *edit = (Edit){(size_t)(line + 2 - head), CLOSE, sizeof CLOSE - 1, 0};
    for (; line != NULL && line < end; line = memmem(line + 2, (size_t)(head + size - line - 2), "\r\n", 2)) {
        const char *value = value_of(line + 2, "Connection");
        if (value == NULL) continue;
        c->told = strncasecmp(value, "close\r", 6) == 0;
        if (strncasecmp(value, KEEP_ALIVE, 10) != 0 || value[10] != '\r') return false;
        *edit = (Edit){(size_t)(value - head), CLOSE_AS_LONG, 10, 10};
        return true;
    }
    return true;
}

/* Writes the edited answer: its beginning, the text, and as much of the rest as there is room for. */
static ssize_t write_edited(int fd, const struct iovec *parts, int count, const Edit *edit) {
    struct iovec all[PARTS + 3];
    int n = 0;
    size_t from = 0, skip = edit->at + edit->replaced;
    bool placed = false;
    for (int i = 0; i < count && n < PARTS; i++) {
        char *base = parts[i].iov_base;
        const size_t length = parts[i].iov_len, before = from < edit->at ? least(length, edit->at - from) : 0;
        const size_t after = from + length > skip ? (from > skip ? 0 : skip - from) : length;
        if (before > 0) all[n++] = (struct iovec){base, before};
        if (!placed && from + length >= edit->at) {
            all[n++] = (struct iovec){(void *)(uintptr_t)edit->text, edit->size};
            placed = true;
        }
        if (after < length) all[n++] = (struct iovec){base + after, length - after};
        from += length;
    }
    return real_writev(fd, all, n);
}

static bool may_close(int fd, const Connection *c) {
    const int before = errno;
    int waiting = 0;
    const bool last = between(&c->in) && between(&c->out) && c->asked == c->answered + 1;
    const bool alone = last && ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0;
    errno = before;
    return alone; /* else other requests follow in the pipe: the answer to the last one says it */
}

/* Writes with an edit. Returns as writev does for `parts` alone, and keeps what is still to come. */
static ssize_t write_with(int fd, Connection *c, const struct iovec *parts, int count, Edit edit) {
    const ssize_t written = write_edited(fd, parts, count, &edit);
    if (written <= (ssize_t)edit.at) return written; /* an error, or the rest goes unedited */
    const size_t done = least((size_t)written - edit.at, edit.size), left = edit.size - done;
    const ssize_t theirs = edit.replaced > 0 ? written : written - (ssize_t)done;
    c->owed = (Edit){0, edit.text + done, left, edit.replaced > 0 ? left : 0};
    c->told = true;
    if (theirs > 0) return theirs;
    errno = EAGAIN; /* nothing of theirs was written, which must not look like an end */
    return -1;
}

static ssize_t write_answer(int fd, Connection *c, const struct iovec *parts, int count) {
    Edit edit;
    if (c->owed.size > 0) return write_with(fd, c, parts, count, c->owed);
    if (draining && may_close(fd, c) && find_edit(c, parts, count, &edit))
        return write_with(fd, c, parts, count, edit);
    return real_writev(fd, parts, count);
}

/* ---- What libevent calls ---------------------------------------------------------------------- */

static void find_real(void) {
    *(void **)&real_accept4 = dlsym(RTLD_NEXT, "accept4");
    *(void **)&real_readv = dlsym(RTLD_NEXT, "readv");
    *(void **)&real_writev = dlsym(RTLD_NEXT, "writev");
    *(void **)&real_close = dlsym(RTLD_NEXT, "close");
}

/* Another library's constructor may call us before our own has run. */
static void ensure_real(void) {
    if (real_close == NULL) find_real();
}

static void sleep_in_child(void) { awake = false; }

__attribute__((constructor)) static void prepare(void) {
    const char *window = getenv("FERRYMAN_DRAIN_WINDOW_MS");
    uint64_t ms = 0;
    ensure_real();
    flag = getenv("FERRYMAN_DRAIN_FILE");
    /* Triton's children inherit the preload: their connections are not ours. */
    if (flag == NULL || strcmp(program_invocation_short_name, "tritonserver") != 0) return;
    for (; window != NULL && *window >= '0' && *window <= '9' && ms < INT_MAX; window++)
        ms = 10 * ms + (uint64_t)(*window - '0');
    if (ms > 0) window_ms = ms;
    awake = pthread_atfork(NULL, NULL, sleep_in_child) == 0;
    if (awake) say("ready");
}

EXPORT int accept4(int listener, __SOCKADDR_ARG address, socklen_t *length, int flags) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    ensure_real();
    const int fd = real_accept4(listener, address, length, flags), before = errno;
    const bool fits = fd >= 0 && fd < FDS && listener >= 0 && listener < FDS;
    if (!awake || !fits || !(flags & SOCK_NONBLOCK)) return fd;
    pthread_once(&once, start_watching);
    Connection *c = &connections[fd];
    pthread_mutex_lock(&c->lock);
    c->head = c->told = c->ended = false;
    c->listener = listener;
    c->owed = (Edit){0};
    c->asked = c->answered = 0;
    c->active_ms = now_ms();
    c->in = c->out = (Message){.state = START};
    c->followed = true;
    let_go(c);
    for (int top = highest; fd > top && !atomic_compare_exchange_weak(&highest, &top, fd);) continue;
    errno = before;
    return fd;
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count) {
    ensure_real();
    Connection *c = hold(fd);
    const ssize_t size = real_readv(fd, parts, count);
    if (c == NULL) return size;
    if (size > 0) {
        c->active_ms = now_ms();
        c->told = false; /* it was told, and asks again */
        c->asked += follow_parts(&c->in, parts, count, (size_t)size, false, &c->head);
        if (c->asked > c->answered + 1 && c->head) c->in.state = LOST; /* which answer is without a body? */
        if (c->asked > 0 && c->in.state != LOST) speaks_http[c->listener] = true;
    }
    let_go(c);
    return size;
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    ensure_real();
    Connection *c = hold(fd);
    if (c == NULL) return real_writev(fd, parts, count);
    const ssize_t size = write_answer(fd, c, parts, count);
    const int before = errno;
    if (size > 0) {
        c->active_ms = now_ms();
        c->answered += follow_parts(&c->out, parts, count, (size_t)size, true, &c->head);
        if (c->answered > c->asked) c->out.state = LOST; /* something was read unseen */
    }
    let_go(c);
    errno = before;
    return size;
}

EXPORT int close(int fd) {
    ensure_real();
    if (awake && fd >= 0 && fd < FDS) speaks_http[fd] = false;
    Connection *c = hold(fd);
    if (c == NULL) return real_close(fd);
    c->followed = false;
    const int result = real_close(fd), before = errno;
    let_go(c);
    errno = before;
    return result;
}
