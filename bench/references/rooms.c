/* The reference in C: rooms in one epoll loop, which sends each message to each socket at once.
 *
 * It does what a server that pushes cannot do without, and nothing else: it stores nothing, signs
 * nobody in, limits nothing. GET with ?…slug=ROOM upgrades to a WebSocket (RFC 6455); POST with
 * the same sends a frame with the `message_id` and the `data` of its body to all of the room, and
 * answers with the message. Frames are `padding` bytes longer than those fields, so that they
 * are as long as the measured server's.
 *
 *     rooms PORT PADDING
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOMS = 65536, BUFFER = 1 << 16 };

typedef struct Conn Conn;
typedef struct {
    char slug[64];
    Conn **conns;
    int count, space;
} Room;

struct Conn {
    int fd, is_socket, at; /* its place in the room */
    Room *room;
    char *in, *out; /* an incomplete request; what the system did not take */
    size_t in_size, out_size;
};

static Room *rooms[ROOMS];
static int epoll_fd, padding;
static char buffer[BUFFER];

static uint32_t turn_left(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 (RFC 3174) of at most 119 bytes. */
static void sha1(const unsigned char *data, size_t size, unsigned char *digest) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[128] = {0};
    size_t total = size < 56 ? 64 : 128;
    memcpy(block, data, size);
    block[size] = 0x80;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t start = 0; start < total; start += 64) {
        uint32_t w[80];
        for (int i = 0; i < 16; i++) {
            const unsigned char *b = block + start + 4 * i;
            w[i] = (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
        }
        for (int i = 16; i < 80; i++)
            w[i] = turn_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i > 59 ? b ^ c ^ d
                                                    : (b & c) | (b & d) | (c & d);
            static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
            uint32_t next = turn_left(a, 5) + f + e + k[i / 20] + w[i];
            e = d, d = c, c = turn_left(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const unsigned char *data, size_t size, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) |
                     (i + 2 < size ? data[i + 2] : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? digits[v & 63] : '=';
    }
    *out = 0;
}

static Room *room_of(const char *request, const char *end) {
    char slug[64] = "/";
    const char *from = memmem(request, end - request, "slug=", 5);
    if (from) sscanf(from + 5, "%63[^ &]", slug);
    uint32_t hash = 5381;
    for (char *c = slug; *c; c++) hash = hash * 33 + (unsigned char)*c;
    while (rooms[hash % ROOMS] && strcmp(rooms[hash % ROOMS]->slug, slug)) hash++;
    Room **room = &rooms[hash % ROOMS];
    if (!*room) {
        *room = calloc(1, sizeof **room);
        strcpy((*room)->slug, slug);
    }
    return *room;
}

static void watch(Conn *c, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (c->out_size ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, operation, c->fd, &event);
}

/* Send what the system takes; the rest waits, so that nobody loses a message. */
static void give(Conn *c, const char *data, size_t size) {
    size_t sent = 0;
    if (!c->out_size) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
        if (n > 0) sent = n;
        if (sent == size || (n < 0 && errno != EAGAIN)) return;
    }
    int was_empty = !c->out_size;
    c->out = realloc(c->out, c->out_size + size - sent);
    memcpy(c->out + c->out_size, data + sent, size - sent);
    c->out_size += size - sent;
    if (was_empty) watch(c, EPOLL_CTL_MOD);
}

static void flush(Conn *c) {
    ssize_t n = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL);
    if (n <= 0) return;
    memmove(c->out, c->out + n, c->out_size -= n);
    if (!c->out_size) watch(c, EPOLL_CTL_MOD);
}

static void leave(Conn *c) {
    Room *room = c->room;
    if (room) {
        room->conns[c->at] = room->conns[--room->count];
        room->conns[c->at]->at = c->at;
    }
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void upgrade(Conn *c, const char *request, char *end) {
    char key[64] = "", text[128], accept[32], answer[256];
    unsigned char digest[20];
    const char *line = strcasestr(request, "\nSec-WebSocket-Key:");
    if (line && line < end) sscanf(line + 19, " %63[^\r\n]", key);
    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1((unsigned char *)text, strlen(text), digest);
    base64(digest, 20, accept);
    Room *room = c->room = room_of(request, end);
    if (room->count == room->space)
        room->conns = realloc(room->conns, (room->space = room->space * 2 + 8) * sizeof *room->conns);
    room->conns[c->at = room->count++] = c;
    c->is_socket = 1;
    give(c, answer, snprintf(answer, sizeof answer,
                             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept));
}

static size_t field(const char *name, const char *body, const char *end, const char **value) {
    const char *from = memmem(body, end - body, name, strlen(name));
    if (!from) return 0;
    *value = from + strlen(name);
    const char *to = memchr(*value, '"', end - *value);
    return to ? (size_t)(to - *value) : 0;
}

static void post(Conn *c, const char *request, const char *body, const char *end) {
    static char message[BUFFER], frame[BUFFER], answer[BUFFER];
    const char *id = "", *data = "";
    size_t id_size = field("\"message_id\":\"", body, end, &id);
    size_t data_size = field("\"data\":\"", body, end, &data);
    int size = snprintf(message, sizeof message,
                        "{\"type\":\"message\",\"message_id\":\"%.*s\",\"data\":\"%.*s\",\"pad\":\"%*s\"}",
                        (int)id_size, id, (int)data_size, data,
                        padding > 57 ? padding - 57 : 0, "");
    frame[0] = (char)0x81, frame[1] = 126, frame[2] = (char)(size >> 8), frame[3] = (char)size;
    memcpy(frame + 4, message, size);
    Room *room = room_of(request, body);
    for (int i = 0; i < room->count; i++) give(room->conns[i], frame, size + 4);
    give(c, answer, snprintf(answer, sizeof answer,
                             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Content-Length: %d\r\n\r\n%s", size, message));
}

/* One request at `data`; how many bytes it took, 0 if it is not whole. */
static size_t take_request(Conn *c, char *data, size_t size) {
    char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - data;
    if (!strncmp(data, "GET", 3)) {
        upgrade(c, data, end);
        return head;
    }
    size_t length = 0;
    const char *line = strcasestr(data, "\nContent-Length:");
    if (line && line < end) length = strtoul(line + 16, NULL, 10);
    if (size < head + length) return 0;
    post(c, data, end + 4, end + 4 + length);
    return head + length;
}

static void readable(Conn *c) {
    if (c->in_size) memcpy(buffer, c->in, c->in_size);
    ssize_t got = recv(c->fd, buffer + c->in_size, BUFFER - 1 - c->in_size, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) leave(c);
        return;
    }
    if (c->is_socket) return; /* readers have nothing to say */
    size_t size = c->in_size + got, at = 0, used;
    buffer[size] = 0;
    while (at < size && !c->is_socket && (used = take_request(c, buffer + at, size - at)))
        at += used;
    c->in_size = c->is_socket ? 0 : size - at;
    if (c->in_size) memcpy(c->in = realloc(c->in, c->in_size), buffer + at, c->in_size);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "rooms PORT PADDING\n"), 2;
    padding = atoi(argv[2]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096))
        return perror("rooms"), 1;
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, events[512];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < count; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    watch(c, EPOLL_CTL_ADD);
                }
                continue;
            }
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & ~EPOLLOUT) readable(c);
        }
    }
}
