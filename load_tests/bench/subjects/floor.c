/* The floor: the least that a WebSocket server does for a party. One thread, epoll, nothing of masking,
 * presence or storage. GET /relay/N: every message goes to the others of party N at once. GET /tick/N: once a
 * second the newest message of each member that sent one goes to all of party N, as one frame.
 * Usage: floor PORT (on 127.0.0.1). It trusts its clients: whole frames under 64 KiB, no fragments. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PARTIES = 65536, READ = 65536, TICK_MS = 1000, SLOT_MS = 25, SLOTS = TICK_MS / SLOT_MS, NEWEST = 256 };

struct bytes { char *at; size_t len, room; };

struct peer {
    int fd, open, ticking, waits, newest_len; /* waits: for the socket to be writable */
    struct party *party;
    struct peer *next;                        /* in the party */
    struct bytes in, out;                     /* what a read or a write has left over; empty most of the time */
    char *newest;                             /* the newest message since the last tick, of a ticking party */
};

struct party { struct peer *first; int changed; };

static struct party relays[PARTIES], ticks[PARTIES];
static int last_ticking = -1, poller;
static char scratch[2 * READ + 16];

static void die(const char *what) { perror(what); exit(1); }

static void append(struct bytes *b, const char *from, size_t n) {
    if (b->len + n > b->room) {
        b->room = 2 * (b->len + n);
        if (!(b->at = realloc(b->at, b->room))) die("realloc");
    }
    memcpy(b->at + b->len, from, n);
    b->len += n;
}

static void let_go(struct bytes *b) { free(b->at); memset(b, 0, sizeof *b); }

/* --- SHA-1 (FIPS 180-4) of a short text, and base64, for the handshake --------------------------------- */

static uint32_t turn(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const char *text, size_t len, uint8_t out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    uint8_t block[192] = {0};
    size_t total = (len + 9 + 63) / 64 * 64;
    memcpy(block, text, len);
    block[len] = 0x80;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64) {
        for (int i = 0; i < 16; i++) {
            const uint8_t *p = block + at + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t next = turn(a, 5) + f + e + k + w[i];
            e = d, d = c, c = turn(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64_of_20(const uint8_t *in, char out[29]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
        uint32_t v = (uint32_t)in[i] << 16 | in[i + 1] << 8 | (i + 2 < 20 ? in[i + 2] : 0);
        for (int k = 0; k < 4; k++) out[o + k] = letters[v >> (18 - 6 * k) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* --- sending --------------------------------------------------------------------------------------------- */

static void want(struct peer *p, int writable) {
    struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = p};
    p->waits = writable;
    epoll_ctl(poller, EPOLL_CTL_MOD, p->fd, &e);
}

static void put(struct peer *p, const char *from, size_t n) {
    if (!p->waits) {
        ssize_t sent = send(p->fd, from, n, MSG_NOSIGNAL);
        if (sent == (ssize_t)n) return;
        if (sent < 0 && errno != EAGAIN) return; /* the next read says that it is gone */
        if (sent > 0) from += sent, n -= sent;
        want(p, 1);
    }
    append(&p->out, from, n);
}

static void put_more(struct peer *p) {
    ssize_t sent = send(p->fd, p->out.at, p->out.len, MSG_NOSIGNAL);
    if (sent < 0) return;
    p->out.len -= sent;
    memmove(p->out.at, p->out.at + sent, p->out.len);
    if (!p->out.len) let_go(&p->out), want(p, 0);
}

/* The head of a server's frame; returns its length. */
static size_t head(char *to, int opcode, size_t n) {
    to[0] = (char)(0x80 | opcode);
    if (n < 126) return to[1] = (char)n, 2;
    to[1] = 126, to[2] = (char)(n >> 8), to[3] = (char)n;
    return 4;
}

static void tick(struct party *party) {
    size_t n = 0;
    char *body = scratch + 4;
    for (struct peer *p = party->first; p; p = p->next)
        if (p->newest_len && n + p->newest_len + 2 < READ) {
            body[n] = n ? ',' : '[';
            n++;
            memcpy(body + n, p->newest, p->newest_len);
            n += p->newest_len;
            p->newest_len = 0;
        }
    party->changed = 0;
    if (!n) return;
    body[n++] = ']';
    char *frame = body - (n < 126 ? 2 : 4);
    size_t total = head(frame, 1, n) + n;
    for (struct peer *p = party->first; p; p = p->next) put(p, frame, total);
}

/* Parties tick in slots, as sessions that began at any time would. */
static void tick_slot(unsigned slot) {
    for (int i = (int)(slot % SLOTS); i <= last_ticking; i += SLOTS)
        if (ticks[i].changed) tick(&ticks[i]);
}

/* --- receiving ------------------------------------------------------------------------------------------- */

static void leave(struct peer *p) {
    if (p->party)
        for (struct peer **at = &p->party->first; *at; at = &(*at)->next)
            if (*at == p) { *at = p->next; break; }
    close(p->fd);
    let_go(&p->in), let_go(&p->out);
    free(p->newest), free(p);
}

static void message(struct peer *p, char *payload, size_t n) {
    if (p->ticking) {
        if (n > NEWEST) return;
        memcpy(p->newest, payload, n);
        p->newest_len = (int)n;
        p->party->changed = 1;
        return;
    }
    char *frame = scratch;
    size_t h = head(frame, 1, n);
    memcpy(frame + h, payload, n);
    for (struct peer *other = p->party->first; other; other = other->next)
        if (other != p) put(other, frame, h + n);
}

/* The handshake, which comes whole in practice. Returns the bytes taken, 0: more needed, -1: refused. */
static long handshake(struct peer *p, char *data, size_t len) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", name[] = "\r\nsec-websocket-key: ";
    char *end = memmem(data, len, "\r\n\r\n", 4), joined[64], answer[160], accept[29];
    unsigned number;
    uint8_t digest[21] = {0};
    if (!end) return len < 8192 ? 0 : -1;
    *end = 0;
    char *key = strcasestr(data, name);
    int ticking = sscanf(data, "GET /tick/%u", &number) == 1;
    if (!key || (!ticking && sscanf(data, "GET /relay/%u", &number) != 1) || number >= PARTIES) return -1;
    if (end - (key + sizeof name - 1) < 24) return -1;
    memcpy(joined, key + sizeof name - 1, 24);
    memcpy(joined + 24, guid, 36);
    sha1(joined, 60, digest);
    base64_of_20(digest, accept);
    p->open = 1, p->ticking = ticking, p->party = ticking ? &ticks[number] : &relays[number];
    if (ticking && !(p->newest = malloc(NEWEST))) die("malloc");
    if (ticking && (int)number > last_ticking) last_ticking = (int)number;
    p->next = p->party->first, p->party->first = p;
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    put(p, answer, n);
    return end + 4 - data;
}

/* One frame. Returns the bytes taken, 0: more needed, -1: the connection is over. */
static long frame(struct peer *p, char *data, size_t len) {
    if (len < 6) return 0;
    size_t n = data[1] & 0x7f, h = 6;
    if (n == 127 || !(data[1] & 0x80)) return -1;
    if (n == 126) n = (size_t)(uint8_t)data[2] << 8 | (uint8_t)data[3], h = 8;
    if (n + h + 16 > READ) return -1;
    if (len < h + n) return 0;
    char *payload = data + h, *mask = payload - 4;
    for (size_t i = 0; i < n; i++) payload[i] ^= mask[i & 3];
    int opcode = data[0] & 0x0f;
    if (opcode == 8) return -1;
    if (opcode == 9) {
        char pong[READ + 4];
        size_t ph = head(pong, 10, n);
        memcpy(pong + ph, payload, n);
        put(p, pong, ph + n);
    } else if (opcode < 3) message(p, payload, n);
    return (long)(h + n);
}

static int readable(struct peer *p) {
    static char data[READ];
    ssize_t got = recv(p->fd, data, sizeof data, 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return 0;
    char *from = data;
    size_t len = (size_t)got;
    if (p->in.len) append(&p->in, data, got), from = p->in.at, len = p->in.len;
    while (len) {
        long taken = p->open ? frame(p, from, len) : handshake(p, from, len);
        if (taken < 0) return 0;
        if (taken == 0) break;
        from += taken, len -= taken;
    }
    if (p->in.len) memmove(p->in.at, from, len), p->in.len = len;
    else if (len) append(&p->in, from, len);
    if (!len && p->in.at) let_go(&p->in);
    return 1;
}

static void welcome(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p) die("calloc");
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct itimerspec every = {{0, SLOT_MS * 1000000}, {0, SLOT_MS * 1000000}};
    if (argc != 2 || atoi(argv[1]) < 1) return fprintf(stderr, "usage: floor PORT\n"), 2;
    here.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) die("listen");
    poller = epoll_create1(0);
    timerfd_settime(timer, 0, &every, NULL);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener}, t = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &t);
    struct epoll_event events[256];
    for (uint64_t past, slot = 0;;) {
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if ((void *)p == &listener) welcome(listener);
            else if ((void *)p == &timer) {
                if (read(timer, &past, 8) == 8)
                    for (uint64_t k = past < SLOTS ? past : SLOTS; k; k--) tick_slot((unsigned)++slot);
            } else {
                if (events[i].events & EPOLLOUT) put_more(p);
                if (events[i].events & ~EPOLLOUT && !readable(p)) leave(p);
            }
        }
    }
}
