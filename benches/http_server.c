/* The reference web server: one thread, edge-triggered epoll, one recv and one send a request.
 * usage: http_server   prints: its port; answers every GET of / until it is killed. Reads each
 * line of a request; a request comes in one piece, as wrk sends it. */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 256, BACKLOG = 512 };

static void check(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

/* Answers one request; returns whether the connection stays. */
static int answer(int fd, char *request, size_t count) {
  char reply[256], *line = request, *end = request + count, *next;
  int keep = 1, found = strncmp(request, "GET / HTTP/1.", 13) == 0;
  for (; (next = memchr(line, '\n', (size_t)(end - line))); line = next + 1) {
    if (next - line <= 1)
      break;
    if (strncasecmp(line, "Connection: close", 17) == 0)
      keep = 0;
  }
  check(next != NULL, "a request in pieces");
  const char *body = found ? "hello\n" : "there is no such page\n";
  int length = snprintf(reply, sizeof reply, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                        found ? 200 : 404, found ? "OK" : "Not Found", strlen(body),
                        keep ? "keep-alive" : "close", body);
  check(send(fd, reply, (size_t)length, MSG_NOSIGNAL) == length, "send");
  return keep;
}

/* Serves what is there; returns whether the connection stays. */
static int serve(int fd) {
  static char buffer[BUFFER];
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
      return 1;
    if (n <= 0 || !answer(fd, buffer, (size_t)n))
      return 0;
    if (n < (ssize_t)sizeof buffer)
      return 1;
  }
}

int main(void) {
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
  printf("127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  event = (struct epoll_event){.events = EPOLLIN, .data.fd = listener};
  check(!epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  for (;;) {
    int n = epoll_wait(poller, events, EVENTS, -1);
    check(n >= 0, "epoll_wait");
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        check(client >= 0, "accept4");
        event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = client};
        check(!epoll_ctl(poller, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
      } else if (!serve(fd) || events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        close(fd);
      }
    }
  }
}
