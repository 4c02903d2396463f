/* The load generator: WebSocket readers and HTTP (or WebSocket) publishers in one epoll loop.
 *
 * While it measures it looks for events without sleeping (unless `spin=0`): to wake it up would
 * be the server's work. The time in which there was something to do stands beside the server's
 * CPU time in what it prints, so that it is seen where it is the slower of the two. Arguments are key=value; `python -m bench` writes them. One line of JSON
 * comes out for each of the steps 1 and 3.
 *
 * 1. Opens `sockets` connections, `parallel` at a time: connect, upgrade, the frame `first` if
 *    there is one, then `ready` frames from the server.
 * 2. With `hold=1`: keeps the sockets until a line comes from standard input, or its end.
 * 3. With `publishers`: posts one message to each room until all sockets get theirs, which
 *    proves that all have signed in. Then each publisher sends a request, waits for its answer,
 *    sends the next (or all together `rate` a second), for `warmup` and then `seconds`; what
 *    counts is the latter. Every socket must then hold every message of its room that was
 *    accepted, once.
 *
 * In paths, bodies and `first`: {room} is the room's number, {token} the client's token, {id} a
 * UUID that holds the time of sending (nanoseconds, 16 hex digits) and the message's number. In a
 * frame from the server it is looked for behind `mark`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load_system.h"

enum { CONNECTING, UPGRADING, GREETING, OPEN, CLOSED };
enum { BUFFER = 1 << 18, SLOWEST_US = 10000000 };

typedef struct {
    int fd, state, room, publisher, waits, greeted, number, squeezed;
    char *part; /* an incomplete frame or answer */
    size_t part_size, part_room;
    uint64_t count, sum, sent_at, sending; /* what a reader holds; what a publisher sent */
} Conn;

static const char *host = "127.0.0.1", *ws_path = "/ws", *publish_path = "", *post_path = "";
static const char *method = "POST";
static const char *first = "", *body = "", *publish = "http", *pids = "", *headers = "";
static const char *mark = "message_id";
static int port, sockets, rooms = 1, publishers, parallel = 64, ready, hold, distinct = 1, spin = 1;
static double seconds = 3, warmup = 1, rate;
static char **tokens;
static int token_count;
static Conn *conns;
static int epoll_fd, opened, failed_to_open;
static uint64_t frames, frame_bytes, posts, refused, next_id, *room_count, *room_sum, sums_wrong;
static uint64_t *latency, latencies; /* a count for each microsecond */
static int measuring, stopping, spinning;
static uint64_t busy; /* nanoseconds in which there was something to do */
static char buffer[BUFFER];

/* `text` with {room}, {token} and {id} filled in. */
static size_t fill(char *out, size_t space, const char *text, Conn *c) {
    size_t at = 0;
    while (*text && at + 1 < space) {
        if (!strncmp(text, "{room}", 6)) {
            at += snprintf(out + at, space - at, "%d", c->room);
            text += 6;
        } else if (!strncmp(text, "{token}", 7)) {
            at += snprintf(out + at, space - at, "%s",
                           token_count ? tokens[c->number % token_count] : "");
            text += 7;
        } else if (!strncmp(text, "{id}", 4)) {
            uint64_t a = c->sent_at, b = c->sending;
            at += snprintf(out + at, space - at, "%08x-%04x-%04x-%04x-%012llx",
                           (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                           (unsigned)(a & 0xffff), (unsigned)(b >> 48 & 0xffff),
                           (unsigned long long)(b & 0xffffffffffffu));
            text += 4;
        } else {
            out[at++] = *text++;
        }
    }
    out[at] = 0;
    return at;
}

static void send_all(Conn *c, const char *data, size_t size) {
    if (send(c->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) c->state = CLOSED;
}

static void send_frame(Conn *c, int opcode, const char *payload, size_t size) {
    char frame[32768];
    size_t at = 0;
    frame[at++] = (char)(0x80 | opcode);
    if (size < 126) {
        frame[at++] = (char)(0x80 | size);
    } else {
        frame[at++] = (char)(0x80 | 126);
        frame[at++] = (char)(size >> 8);
        frame[at++] = (char)size;
    }
    static const char mask[4] = {0x12, 0x34, 0x56, 0x78};
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) frame[at + i] = payload[i] ^ mask[i & 3];
    send_all(c, frame, at + size);
}

static void watch(Conn *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event)) die("epoll_ctl");
}

static void open_one(Conn *c) {
    /* One address has about 28,000 ports for connections to one server. */
    static int source;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    inet_pton(AF_INET, host, &to.sin_addr);
    from.sin_addr.s_addr = htonl(0x7f000001 + (distinct > 1 ? source++ % distinct : 0));
    int on = 1;
    struct linger reset = {1, 0};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    bind(c->fd, (struct sockaddr *)&from, sizeof from);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
    c->state = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void now_open(Conn *c) {
    c->state = OPEN;
    opened++;
}

static void connected(Conn *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    if (error) {
        c->state = CLOSED;
        failed_to_open++;
        return;
    }
    if (c->publisher && !strcmp(publish, "http")) {
        now_open(c);
        return;
    }
    char path[512], request[4096];
    fill(path, sizeof path, c->publisher ? publish_path : ws_path, c);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\n"
                          "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                          path, host, port, headers);
    c->state = UPGRADING;
    send_all(c, request, length);
}

static void send_next(Conn *c) {
    static int turn;
    char payload[16384], path[512], request[24576];
    c->room = rooms ? turn++ % rooms : 0;
    c->sending = ++next_id;
    c->sent_at = now_ns();
    c->waits = 1;
    size_t size = fill(payload, sizeof payload, body, c);
    if (!strcmp(publish, "ws")) {
        send_frame(c, 1, payload, size);
        return;
    }
    fill(path, sizeof path, post_path, c);
    int head = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n%s", method,
                        path, host, port, headers);
    if (token_count)
        head += snprintf(request + head, sizeof request - head, "Authorization: Bearer %s\r\n",
                         tokens[c->number % token_count]);
    if (!strcmp(method, "POST"))
        head += snprintf(request + head, sizeof request - head,
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", size,
                         payload);
    else
        head += snprintf(request + head, sizeof request - head, "\r\n");
    send_all(c, request, head);
}

static void answered(Conn *c, int accepted) {
    c->waits = 0;
    if (accepted) {
        posts++;
        room_count[c->room]++;
        room_sum[c->room] += c->sending;
    } else {
        refused++;
    }
    if (!stopping && !rate) send_next(c);
}

static uint64_t hex(const char *text, const char *end) { /* 16 digits, dashes between */
    uint64_t value = 0;
    for (int digits = 0; digits < 16 && text < end; text++) {
        char d = *text;
        if (d == '-') continue;
        value = value << 4 | (uint64_t)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
        digits++;
    }
    return value;
}

static void take_text(Conn *c, const char *payload, size_t size) {
    if (c->state == GREETING) {
        if (++c->greeted >= ready) now_open(c);
        return;
    }
    if (c->publisher) {
        if (c->waits && memmem(payload, size, "\"ack\"", 5)) answered(c, 1);
        return;
    }
    const char *id = memmem(payload, size, mark, strlen(mark));
    if (!id) return;
    id += strlen(mark);
    while (id < payload + size && *id++ != ':') {}
    while (id < payload + size && (*id == ' ' || *id == '"')) id++;
    c->count++;
    c->sum += hex(id + 19, payload + size);
    frames++;
    frame_bytes += size + (size < 126 ? 2 : size < 65536 ? 4 : 10);
    if (measuring) {
        uint64_t us = (now_ns() - hex(id, payload + size)) / 1000;
        latency[us < SLOWEST_US ? us : SLOWEST_US - 1]++;
        latencies++;
    }
}

/* One frame or one HTTP answer at `data`; how many bytes it took, 0 if it is not whole. */
static size_t take_one(Conn *c, char *data, size_t size) {
    int http = c->state == UPGRADING || (c->publisher && !strcmp(publish, "http"));
    if (http) {
        char *end = memmem(data, size, "\r\n\r\n", 4);
        if (!end) return 0;
        size_t head = end + 4 - data;
        int status = atoi(data + 9);
        if (c->state == UPGRADING) {
            if (status != 101) {
                if (!failed_to_open++) fprintf(stderr, "load: refused: %.300s\n", data);
                c->state = CLOSED;
                return size;
            }
            char text[2048];
            if (*first) send_frame(c, 1, text, fill(text, sizeof text, first, c));
            c->state = GREETING;
            if (!ready) now_open(c);
            return head;
        }
        size_t length = 0;
        for (char *line = data; line < end; line = strstr(line, "\r\n") + 2)
            if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
        if (size < head + length) return 0;
        if (status / 100 != 2 && !refused)
            fprintf(stderr, "load: answer: %.*s\n", (int)(head + length), data);
        answered(c, status / 100 == 2);
        return head + length;
    }
    if (size < 2) return 0;
    const unsigned char *byte = (unsigned char *)data;
    size_t length = byte[1] & 127, head = 2;
    if (length == 126) {
        if (size < 4) return 0;
        length = (size_t)byte[2] << 8 | byte[3];
        head = 4;
    } else if (length == 127) {
        if (size < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | byte[i];
        head = 10;
    }
    if (size < head + length) return 0;
    int opcode = byte[0] & 15;
    if (opcode == 1 && byte[0] & 64) { /* compressed (RFC 7692): it is counted, and not read */
        c->squeezed = 1, c->count++, frames++;
        frame_bytes += head + length;
    } else if (opcode == 1) {
        take_text(c, data + head, length);
    }
    if (opcode == 9) send_frame(c, 10, data + head, length);
    if (opcode == 8) c->state = CLOSED;
    return head + length;
}

static void readable(Conn *c) {
    size_t before = c->part_size;
    if (before) memcpy(buffer, c->part, before);
    ssize_t got = recv(c->fd, buffer + before, BUFFER - 1 - before, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        if (c->state < OPEN) failed_to_open++;
        c->state = CLOSED;
        watch(c, EPOLL_CTL_DEL, 0);
        return;
    }
    size_t size = before + got, at = 0, used;
    buffer[size] = 0;
    while (at < size && c->state != CLOSED && (used = take_one(c, buffer + at, size - at)))
        at += used;
    c->part_size = size - at;
    if (c->part_size > c->part_room) c->part = realloc(c->part, c->part_room = c->part_size);
    if (c->part_size) memcpy(c->part, buffer + at, c->part_size);
}

/* Let things happen until `until`. */
static void turn(uint64_t until) {
    static struct epoll_event events[1024];
    uint64_t now = now_ns();
    uint64_t wait = until > now && !spinning ? until - now : 0;
    struct timespec timeout = {wait / 1000000000u, wait % 1000000000u};
    int count = epoll_pwait2(epoll_fd, events, 1024, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        Conn *c = events[i].data.ptr;
        if (c->state == CONNECTING) connected(c);
        else if (c->state != CLOSED) readable(c);
        else watch(c, EPOLL_CTL_DEL, 0);
    }
    if (count > 0) busy += now_ns() - now;
}

static double open_all(int from, int to) {
    uint64_t started = now_ns(), quiet_since = started;
    int begun = from, before = opened, last = opened;
    failed_to_open = 0;
    while (opened - before + failed_to_open < to - from) {
        while (begun < to && begun - from - (opened - before + failed_to_open) < parallel)
            open_one(&conns[begun++]);
        turn(now_ns() + 100000000u);
        uint64_t now = now_ns();
        if (opened != last) last = opened, quiet_since = now;
        if (now - quiet_since > 15000000000u) break;
    }
    if (opened - before < to - from)
        fprintf(stderr, "load: %d not opened\n", to - from - opened + before);
    return (now_ns() - started) / 1e9;
}

static uint64_t missing(void) {
    uint64_t total = 0;
    sums_wrong = 0;
    for (int i = 0; i < sockets; i++) {
        uint64_t wanted = room_count[conns[i].room];
        int right = conns[i].squeezed || conns[i].sum == room_sum[conns[i].room];
        if (conns[i].count != wanted || !right) sums_wrong++;
        if (conns[i].count < wanted) total += wanted - conns[i].count;
    }
    return total;
}

static int waiting(void) { /* publishers without their answer */
    int waits = 0;
    for (int i = sockets; i < sockets + publishers; i++) waits += conns[i].waits;
    return waits;
}

/* Post to each room until all sockets got theirs; no longer than 30 s. */
static void settle(void) {
    uint64_t end = now_ns() + 30000000000u;
    if (!sockets) return;
    stopping = 1; /* nobody sends the next by themselves */
    do {
        for (int i = 0; i < sockets; i++) conns[i].count = conns[i].sum = 0;
        memset(room_count, 0, rooms * sizeof *room_count);
        memset(room_sum, 0, rooms * sizeof *room_sum);
        for (int room = 0, i = sockets; room < rooms && now_ns() < end;) {
            for (i = sockets; i < sockets + publishers && conns[i].waits; i++) {}
            if (i < sockets + publishers) send_next(&conns[i]), room++;
            else turn(now_ns() + 1000000u);
        }
        for (uint64_t soon = now_ns() + 1000000000u; now_ns() < soon && (waiting() || missing());)
            turn(now_ns() + 1000000u);
    } while ((waiting() || missing() || sums_wrong) && now_ns() < end);
    stopping = 0;
}

static void publish_for(double duration) {
    static uint64_t due;
    uint64_t end = now_ns() + (uint64_t)(duration * 1e9), every = rate ? 1e9 / rate : 0;
    if (rate && !due) due = now_ns();
    for (uint64_t now; (now = now_ns()) < end;) {
        if (rate && now >= due) {
            for (int i = sockets; i < sockets + publishers; i++)
                if (!conns[i].waits && conns[i].state == OPEN) {
                    send_next(&conns[i]);
                    due += every;
                    break;
                }
        }
        uint64_t until = rate && due < end ? due : end;
        turn(until <= now ? now + 100000 : until);
    }
}

static uint64_t percentile(double share) {
    uint64_t left = latencies ? (uint64_t)((latencies - 1) * share) : 0, us = 0;
    while (us < SLOWEST_US - 1 && left >= latency[us]) left -= latency[us++];
    return us;
}

static void argument(char *text) {
    char *value = strchr(text, '=');
    if (!value) die(text);
    *value++ = 0;
    struct { const char *name, **text; int *number; double *real; } known[] = {
        {"host", &host, 0, 0}, {"ws_path", &ws_path, 0, 0}, {"post_path", &post_path, 0, 0},
        {"method", &method, 0, 0}, {"first", &first, 0, 0}, {"body", &body, 0, 0}, {"mark", &mark, 0, 0},
        {"publish", &publish, 0, 0}, {"publish_path", &publish_path, 0, 0}, {"pids", &pids, 0, 0}, {"port", 0, &port, 0},
        {"sockets", 0, &sockets, 0}, {"rooms", 0, &rooms, 0}, {"publishers", 0, &publishers, 0},
        {"parallel", 0, &parallel, 0}, {"ready", 0, &ready, 0}, {"hold", 0, &hold, 0},
        {"spin", 0, &spin, 0},
        {"sources", 0, &distinct, 0}, {"seconds", 0, 0, &seconds}, {"warmup", 0, 0, &warmup},
        {"rate", 0, 0, &rate}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, text)) {
            if (known[i].text) *known[i].text = value;
            else if (known[i].number) *known[i].number = atoi(value);
            else *known[i].real = atof(value);
            return;
        }
    if (!strcmp(text, "headers")) {
        headers = file_of(value);
    } else if (!strcmp(text, "tokens")) {
        for (char *token = strtok(file_of(value), "\n"); token; token = strtok(NULL, "\n")) {
            tokens = realloc(tokens, (token_count + 1) * sizeof *tokens);
            tokens[token_count++] = token;
        }
    } else {
        errno = EINVAL;
        die(text);
    }
}

static void publish_all(void) {
    open_all(sockets, sockets + publishers);
    settle();
    if (!rate)
        for (int i = sockets; i < sockets + publishers; i++) send_next(&conns[i]);
    /* Waking a process that sleeps costs the server's core more than a microsecond, which readers
     * on other machines would not cost it: so nobody sleeps while it counts. */
    spinning = spin;
    publish_for(warmup);
    uint64_t frames_before = frames, posts_before = posts, bytes_before = frame_bytes;
    uint64_t started = now_ns();
    double cpu = cpu_of(pids), own = own_cpu(), others = cpu_of_all();
    uint64_t busy_before = busy;
    measuring = 1;
    publish_for(seconds);
    measuring = 0;
    double took = (now_ns() - started) / 1e9;
    cpu = cpu_of(pids) - cpu;
    others = cpu_of_all() - others - cpu - (own_cpu() - own);
    double load = (busy - busy_before) / 1e9; /* what it would use if it slept in between */
    spinning = 0;
    uint64_t counted = frames - frames_before, accepted = posts - posts_before;
    uint64_t length = counted ? (frame_bytes - bytes_before) / counted : 0;
    stopping = 1;
    uint64_t before = 0;
    for (uint64_t quiet = now_ns(); now_ns() - quiet < 2000000000u && (waiting() || missing());) {
        turn(now_ns() + 5000000u);
        if (frames + posts != before) before = frames + posts, quiet = now_ns();
    }
    uint64_t lost = missing();
    printf("{\"seconds\":%.6f,\"deliveries\":%llu,\"posts\":%llu,\"refused\":%llu,"
           "\"lost\":%llu,\"wrong\":%llu,\"cpu\":%.3f,\"load_cpu\":%.3f,\"p50_us\":%llu,"
           "\"p99_us\":%llu,\"max_us\":%llu,\"frame_bytes\":%llu,\"other_cpu\":%.3f}\n",
           took, (unsigned long long)counted, (unsigned long long)accepted,
           (unsigned long long)refused, (unsigned long long)lost,
           (unsigned long long)sums_wrong, cpu, load, (unsigned long long)percentile(0.5),
           (unsigned long long)percentile(0.99), (unsigned long long)percentile(1),
           (unsigned long long)length, others);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) argument(argv[i]);
    raise_file_limit();
    epoll_fd = epoll_create1(0);
    conns = calloc(sockets + publishers + 1, sizeof *conns);
    room_count = calloc(rooms, sizeof *room_count);
    room_sum = calloc(rooms, sizeof *room_sum);
    latency = calloc(SLOWEST_US, sizeof *latency);
    for (int i = 0; i < sockets + publishers; i++) {
        conns[i].number = i;
        conns[i].room = i % rooms;
        conns[i].publisher = i >= sockets;
    }
    double cpu = cpu_of(pids), load = own_cpu(), others = cpu_of_all();
    double opening = open_all(0, sockets);
    cpu = cpu_of(pids) - cpu, load = own_cpu() - load, others = cpu_of_all() - others;
    printf("{\"opened\":%d,\"open_seconds\":%.6f,\"open_cpu\":%.3f,\"open_load_cpu\":%.3f,"
           "\"open_other_cpu\":%.3f}\n",
           opened, opening, cpu, load, others - cpu - load);
    fflush(stdout);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (hold && !poll(&input, 1, 0)) turn(now_ns() + 20000000u);
    if (publishers) publish_all();
    return 0;
}
