/* The load of the echo benches: one thread, epoll, lines of one length, each connection waits for its
 * echo before it sends the next, every echo is compared with what was sent.
 * usage: echo_load PORT CONNECTIONS MESSAGES PARALLEL [LENGTH]
 * CONNECTIONS in all, PARALLEL of them at a time, MESSAGES on each, of LENGTH (64) bytes.
 * prints: messages echoed */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LENGTH = 64, EVENTS = 256, DIGITS = 16 };

struct connection {
  int fd;
  long left;     /* messages still to be echoed */
  size_t got;    /* bytes of the current echo */
  char *sent, *received;
};

static struct sockaddr_in address;
static int poller;
static long messages, echoed, serial;
static size_t size = LENGTH;

static void check(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

static void dial(struct connection *c) {
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check(c->fd >= 0, "socket");
  check(!connect(c->fd, (struct sockaddr *)&address, sizeof address), "connect");
  check(!setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
  c->left = messages;
}

/* Sends the next message: a line that no other message equals. */
static void speak(struct connection *c) {
  unsigned long number = (unsigned long)serial++;
  for (int i = 0; i < DIGITS; i++, number >>= 4)
    c->sent[i] = "0123456789abcdef"[number & 15];
  c->got = 0;
  check(send(c->fd, c->sent, size, MSG_NOSIGNAL) == (ssize_t)size, "send");
}

static void begin(struct connection *c) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  check(!epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event), "epoll_ctl");
  speak(c);
}

/* Takes what has come; returns 0 when this connection has had its last echo. */
static int listen_to(struct connection *c) {
  ssize_t n = recv(c->fd, c->received + c->got, size - c->got, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN)
    return 1;
  check(n > 0, "the server closed a connection");
  c->got += (size_t)n;
  if (c->got < size)
    return 1;
  if (memcmp(c->sent, c->received, size) != 0) {
    fprintf(stderr, "a wrong echo\n");
    exit(1);
  }
  echoed++;
  if (--c->left > 0)
    speak(c);
  return c->left > 0;
}

int main(int argc, char **argv) {
  if (argc < 5)
    return 2;
  if (argc > 5)
    size = (size_t)atol(argv[5]);
  long connections = atol(argv[2]), parallel = atol(argv[4]), begun, ended = 0;
  messages = atol(argv[3]);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((unsigned short)atoi(argv[1]));
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct connection *all = calloc((size_t)parallel, sizeof *all);
  check(poller >= 0 && all != NULL && parallel <= connections, "start");
  for (begun = 0; begun < parallel; begun++) {
    all[begun].sent = malloc(size);
    all[begun].received = malloc(size);
    check(all[begun].sent && all[begun].received, "malloc");
    memset(all[begun].sent, '.', size);
    all[begun].sent[size - 1] = '\n';
    dial(&all[begun]);
  }
  for (long i = 0; i < parallel && messages > 0; i++)
    begin(&all[i]);
  while (messages > 0 && ended < connections) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(poller, events, EVENTS, -1);
    check(n >= 0, "epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (listen_to(c))
        continue;
      close(c->fd);
      ended++;
      if (begun < connections) {
        begun++;
        dial(c);
        begin(c);
      }
    }
  }
  printf("%ld\n", echoed);
  return 0;
}
