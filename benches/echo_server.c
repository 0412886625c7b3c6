/* The reference echo server: one thread, edge-triggered epoll, one recv and one send a message.
 * usage: echo_server CONNECTIONS [LENGTH [line]]   prints: its port; at the end, after that many
 * connections have come and gone: messages. A message is LENGTH (64) bytes, or a line. */
#define _GNU_SOURCE /* accept4, memrchr */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LENGTH = 64, BUFFER = 65536, EVENTS = 256, BACKLOG = 1024, MOST = 1 << 20 };

/* What of a message has come, by descriptor. */
static struct { char *bytes; size_t count; } begun[MOST];
static size_t size = LENGTH;
static int by_line;

static void check(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

/* How many bytes make up whole messages. */
static size_t whole(const char *bytes, size_t count) {
  if (!by_line)
    return count - count % size;
  const char *end = memrchr(bytes, '\n', count);
  return end ? (size_t)(end + 1 - bytes) : 0;
}

/* Each client waits for its echo, so the send buffer always has room. */
static void reply(int fd, const char *bytes, size_t count) {
  check(send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count, "send");
}

/* Echoes the whole messages of what has come, and keeps the rest. Returns the bytes echoed. */
static size_t take(int fd, const char *bytes, size_t count) {
  if (begun[fd].count == 0) {
    size_t done = whole(bytes, count);
    if (done > 0)
      reply(fd, bytes, done);
    if (done < count) {
      begun[fd].bytes = realloc(begun[fd].bytes, size + BUFFER);
      check(begun[fd].bytes != NULL, "realloc");
      memcpy(begun[fd].bytes, bytes + done, begun[fd].count = count - done);
    }
    return done;
  }
  memcpy(begun[fd].bytes + begun[fd].count, bytes, count);
  begun[fd].count += count;
  size_t done = whole(begun[fd].bytes, begun[fd].count);
  if (done > 0) {
    reply(fd, begun[fd].bytes, done);
    begun[fd].count -= done;
    memmove(begun[fd].bytes, begun[fd].bytes + done, begun[fd].count);
  }
  return done;
}

/* Echoes all that is there. A short read has emptied the socket: what comes later is a new edge.
 * Returns the bytes echoed; sets *open to 0 at the end of the stream. */
static size_t echo(int fd, int hangup, int *open) {
  static char buffer[BUFFER];
  size_t total = 0;
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
      return total;
    if (n <= 0) {
      *open = 0;
      return total;
    }
    total += take(fd, buffer, (size_t)n);
    if (n < (ssize_t)sizeof buffer && !hangup)
      return total;
  }
}

int main(int argc, char **argv) {
  long connections = argc > 1 ? atol(argv[1]) : 0, accepted = 0, closed = 0;
  size_t bytes = 0;
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof address;
  struct epoll_event events[EVENTS], event;
  int poller = epoll_create1(EPOLL_CLOEXEC);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (argc > 2)
    size = (size_t)atol(argv[2]);
  by_line = argc > 3;
  check(poller >= 0 && listener >= 0, "socket");
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(!bind(listener, (struct sockaddr *)&address, length), "bind");
  check(!listen(listener, BACKLOG), "listen");
  check(!getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  event = (struct epoll_event){.events = EPOLLIN, .data.fd = listener};
  check(!epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  while (closed < connections) {
    int n = epoll_wait(poller, events, EVENTS, -1);
    check(n >= 0, "epoll_wait");
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd, open = 1;
      if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        check(client >= 0 && client < MOST, "accept4");
        event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = client};
        check(!epoll_ctl(poller, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
        if (++accepted == connections)
          close(listener);
        continue;
      }
      bytes += echo(fd, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0, &open);
      if (!open) {
        begun[fd].count = 0;
        close(fd);
        closed++;
      }
    }
  }
  printf("%zu\n", bytes / size);
  return 0;
}
