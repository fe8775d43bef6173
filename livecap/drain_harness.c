/* Drives drain.c as libevent does, over generated connections: requests and answers of every
 * framing, cut into reads and writes of any size, by sockets that take as much as they like.
 *
 *     drain_harness CASES     # exits with a sentence at the first case that goes wrong
 *
 * What must hold: a client receives what the server wrote, and besides it at most one
 * `Connection: close` in the head of an answer; never while other requests are in the pipe; always
 * where one request was read whole and its answer's head is written at once; and a connection is
 * said to rest exactly when everything is answered. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
/* No thread watches: a case says itself whether it drains. */
#define pthread_create(thread, attributes, run, argument) ((void)(run), (void)(thread), 1)
#include "drain.c"

static uint64_t randomness;
static unsigned case_number;

static size_t draw(size_t below) { /* a 64-bit linear congruential generator, its upper bits */
    randomness = randomness * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(randomness >> 33) % below;
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "case %u: ", case_number);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

typedef struct text {
    size_t size;
    char data[65536];
} Text;

static void add(Text *text, const char *what) {
    const size_t size = strlen(what);
    if (text->size + size >= sizeof text->data) fail("the harness has too little room");
    memcpy(text->data + text->size, what, size);
    text->size += size;
}

/* ---- The sockets of the operating system ------------------------------------------------------- */

static int pair[2];
static bool generous; /* the socket takes everything at once */

static int fake_accept4(int listener, __SOCKADDR_ARG address, socklen_t *length, int flags) {
    (void)listener, (void)address, (void)length, (void)flags;
    return pair[0];
}

static ssize_t fake_readv(int fd, const struct iovec *parts, int count) {
    return recv(fd, parts[0].iov_base, count > 0 ? parts[0].iov_len : 0, MSG_DONTWAIT);
}

static ssize_t fake_writev(int fd, const struct iovec *parts, int count) {
    static char all[262144];
    size_t size = 0;
    if (!generous && draw(4) == 0) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < count; size += parts[i++].iov_len)
        memcpy(all + size, parts[i].iov_base, parts[i].iov_len);
    return send(fd, all, generous || size == 0 ? size : 1 + draw(size), MSG_NOSIGNAL);
}

/* ---- Messages ---------------------------------------------------------------------------------- */

static const char DECOY[] = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\n\r\n";

static void add_body(Text *text, bool chunked) {
    char head[64];
    const size_t parts = draw(4);
    if (!chunked) {
        add(text, draw(2) ? "Content-Length" : "content-length");
        snprintf(head, sizeof head, ": %zu\r\n\r\n", parts * (sizeof DECOY - 1));
        add(text, head);
    } else add(text, draw(2) ? "Transfer-Encoding: chunked\r\n\r\n" : "transfer-encoding:Chunked\r\n\r\n");
    for (size_t i = 0; i < parts; i++) {
        snprintf(head, sizeof head, draw(2) ? "%zX\r\n" : "%zx;name=value\r\n", sizeof DECOY - 1);
        if (chunked) add(text, head);
        add(text, DECOY);
        if (chunked) add(text, "\r\n");
    }
    if (chunked) add(text, draw(2) ? "0\r\n\r\n" : "0\r\nTrailer: of a chunked message\r\n\r\n");
}

static void add_fields(Text *text) {
    if (draw(3) == 0) add(text, "Host: model.namespace.svc\r\n");
    if (draw(3) == 0) {
        add(text, "X-Long: ");
        for (size_t left = draw(20); left > 0; left--) add(text, "Content-Length: 7 ");
        add(text, "\r\n");
    }
    if (draw(3) == 0) add(text, "Connections: none of these\r\n");
}

/* Adds a request; returns whether it is a HEAD request. */
static bool add_request(Text *text, bool may_be_head) {
    const size_t kind = draw(may_be_head ? 5 : 4);
    if (draw(5) == 0) add(text, "\r\n"); /* as some clients send after a body */
    if (kind == 4) add(text, "HEAD /v2 HTTP/1.1\r\n");
    else add(text, kind == 0 ? "GET /v2 HTTP/1.0\r\n" : "POST /v2/models/m/infer HTTP/1.1\r\n");
    add_fields(text);
    if (kind == 0) add(text, "Connection: keep-alive\r\n");
    if (kind == 2 || kind == 3) add_body(text, kind == 3);
    else add(text, "\r\n");
    return kind == 4;
}

enum { NONE, PLAIN, KEEPS, CLOSES }; /* what an answer's head says of the connection by itself */

/* Adds an answer; returns what its head says of the connection. */
static int add_answer(Text *text, bool head) {
    static const char *const says[] = {"", "", "Connection: keep-alive\r\n", "connection: close\r\n"};
    const size_t kind = draw(4);
    const int connection = PLAIN + (int)draw(3);
    if (kind == 0) add(text, "HTTP/1.1 204 No Content\r\n");
    else add(text, draw(4) ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.0 503 Service Unavailable\r\n");
    const bool first = draw(2);
    if (first) add(text, says[connection]);
    add_fields(text);
    if (!first) add(text, says[connection]);
    if (kind == 0) add(text, "\r\n");
    else if (head) add(text, "Content-Length: 4711\r\n\r\n");
    else add_body(text, kind == 1);
    return connection;
}

/* ---- A case ------------------------------------------------------------------------------------ */

static void read_all(int fd) {
    char buffer[512];
    for (;;) {
        struct iovec part = {buffer, 1 + draw(sizeof buffer - 1)};
        if (readv(fd, &part, 1) <= 0) return;
    }
}

/* Writes as libevent does: parts of any size, what was not taken again, until all is taken. */
static void write_all(int fd, const Text *text) {
    size_t done = 0;
    for (int attempts = 0; done < text->size; attempts++) {
        struct iovec parts[8];
        int count = 0;
        size_t at = done;
        for (; at < text->size && count < 8; count++) {
            const size_t rest = text->size - at, size = generous || count == 7 ? rest : 1 + draw(rest);
            parts[count] = (struct iovec){(void *)(uintptr_t)(text->data + at), size};
            at += size;
        }
        const ssize_t written = writev(fd, parts, count);
        if (written == 0 || (written < 0 && errno != EAGAIN)) fail("writev returned %zd", written);
        if (written > 0) done += (size_t)written;
        if (done > text->size || attempts > 100000) fail("more was written than there is, or nothing");
    }
}

static size_t receive(char *into, size_t room) {
    size_t size = 0;
    for (ssize_t more; (more = recv(pair[1], into + size, room - size, MSG_DONTWAIT)) > 0;)
        size += (size_t)more;
    return size;
}

static bool stands(const char *what, size_t length, const char *at, size_t left) {
    return left >= length && memcmp(at, what, length) == 0;
}

/* Compares what came with what was sent; returns how many closes were put into it. */
static int compare(const Text *sent, const char *got, size_t size) {
    int closes = 0;
    size_t i = 0, j = 0;
    while (j < size) {
        const bool same = i < sent->size && sent->data[i] == got[j];
        const size_t left = sent->size - i, come = size - j;
        const char *ours = sent->data + i, *theirs = got + j;
        if (stands(CLOSE, 19, theirs, come) && !stands(CLOSE, 19, ours, left)) {
            if (i < 2 || sent->data[i - 1] != '\n') fail("a close stands in the middle of a line");
            closes++;
            j += 19;
            if (stands("Connection: keep-alive\r\n", 24, ours, left)) fail("keep-alive stays beside close");
        } else if (stands(CLOSE_AS_LONG, 10, theirs, come) && stands(KEEP_ALIVE, 10, ours, left)) {
            closes++;
            i += 10;
            j += 10;
        } else if (same) i++, j++;
        else fail("byte %zu differs: '%.40s' for '%.40s'", j, got + j, sent->data + i);
    }
    if (i != sent->size) fail("%zu bytes were lost", sent->size - i);
    return closes;
}

static void exchange(int requests, bool one_by_one) {
    static Text in, out, interim;
    static char got[sizeof out.data * 2];
    int says[8] = {NONE};
    bool heads[8];
    Connection *c = &connections[pair[0]];
    in.size = 0;
    for (int i = 0; i < requests; i++) heads[i] = add_request(&in, requests == 1);
    if (send(pair[1], in.data, in.size, 0) != (ssize_t)in.size) fail("the harness's socket is too small");
    if (rests(pair[0], c)) fail("it rests while a request waits");
    read_all(pair[0]);
    const int due = (int)(c->asked - c->answered);
    if (due != requests) fail("%d requests counted as %d", requests, due);
    for (int i = 0; i < requests; i++) {
        if (rests(pair[0], c)) fail("it rests while an answer is due");
        interim.size = 0;
        if (draw(6) == 0) add(&interim, "HTTP/1.1 100 Continue\r\n\r\n");
        write_all(pair[0], &interim);
        if (compare(&interim, got, receive(got, sizeof got)) != 0) fail("an interim answer says close");
        out.size = 0;
        says[i] = add_answer(&out, heads[i]);
        write_all(pair[0], &out);
        const int closes = compare(&out, got, receive(got, sizeof got));
        const bool last = i == requests - 1, must = draining && generous && last && says[i] != CLOSES;
        if (closes > 1 || (closes == 1 && (!draining || !last)))
            fail("%d closes, answer %d of %d", closes, i + 1, requests);
        if (must && closes != 1) fail("an answer does not say close:\n%.300s", out.data);
    }
    if (one_by_one && !rests(pair[0], c)) fail("it does not rest after the last answer");
}

/* What is not HTTP/1, or hard to tell: passed on byte for byte, and the connection never rests. */
static void odd(void) {
    static const char *const openings[] = {
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02",
        "hello\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a",
        "GET / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -4\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\n 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    };
    static Text out;
    static char got[256];
    const char *opening = openings[draw(sizeof openings / sizeof *openings)];
    send(pair[1], opening, strlen(opening), 0);
    read_all(pair[0]);
    if (rests(pair[0], &connections[pair[0]])) fail("it rests after '%s'", opening);
    out.size = 0;
    if (draw(2)) add(&out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    else add(&out, "\x15\x03\x01 anything at all");
    write_all(pair[0], &out);
    if (compare(&out, got, receive(got, sizeof got)) != 0) fail("what is not understood was changed");
    if (rests(pair[0], &connections[pair[0]])) fail("it rests after the answer to '%s'", opening);
}

static void run_case(unsigned number) {
    case_number = number;
    randomness = number * 2654435761u + 1;
    draw(2);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) fail("no sockets");
    if (accept4(0, NULL, NULL, SOCK_NONBLOCK) != pair[0]) fail("accept4 is not passed through");
    draining = draw(4) > 0;
    generous = draw(2);
    if (draw(5) == 0) odd();
    else
        for (size_t i = 0, rounds = 1 + draw(5); i < rounds; i++) {
            const int requests = draw(3) ? 1 : 1 + (int)draw(4);
            exchange(requests, true);
        }
    if (close(pair[0]) != 0 || connections[pair[0]].followed) fail("it is followed beyond its end");
    real_close(pair[1]);
}

int main(int count, char **arguments) {
    const unsigned cases = count > 1 ? (unsigned)atoi(arguments[1]) : 1000;
    find_real();
    real_accept4 = fake_accept4;
    real_readv = fake_readv;
    real_writev = fake_writev;
    flag = "/nonexistent";
    awake = true;
    for (unsigned number = 1; number <= cases; number++) run_case(number);
    printf("%u cases\n", cases);
    return 0;
}
