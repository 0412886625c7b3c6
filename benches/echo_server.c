/* The reference echo server: one thread, edge-triggered epoll, one recv and one send a message.
 * usage: echo_server CONNECTIONS   prints: its port; at the end, after that many connections have
 * come and gone: messages */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 64, BUFFER = 16384, EVENTS = 256, BACKLOG = 128 };

static void check(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

/* Echoes all that is there. A short read has emptied the socket: what comes later is a new edge.
 * Returns the bytes echoed; sets *open to 0 at the end of the stream. */
static long echo(int fd, int hangup, int *open) {
  static char buffer[BUFFER];
  long total = 0;
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
      return total;
    if (n <= 0) {
      *open = 0;
      return total;
    }
    /* Each client waits for its echo, so the send buffer always has room. */
    check(send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n, "send");
    total += n;
    if (n < (ssize_t)sizeof buffer && !hangup)
      return total;
  }
}

int main(int argc, char **argv) {
  long connections = argc > 1 ? atol(argv[1]) : 0, accepted = 0, closed = 0, bytes = 0;
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof address;
  struct epoll_event events[EVENTS], event;
  int poller = epoll_create1(EPOLL_CLOEXEC);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
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
        check(client >= 0, "accept4");
        event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = client};
        check(!epoll_ctl(poller, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
        if (++accepted == connections)
          close(listener);
        continue;
      }
      bytes += echo(fd, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0, &open);
      if (!open) {
        close(fd);
        closed++;
      }
    }
  }
  printf("%ld\n", bytes / SIZE);
  return 0;
}
