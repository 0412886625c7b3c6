/* A resolver for specs, preloaded into a child: the name says the answer. "wait50+none.stub" answers after 50 ms that
 * nobody knows it, "::1+127.0.0.1.stub" has two addresses; what does not end with ".stub" is the system's. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* One address, as the system's freeaddrinfo takes it apart: in one piece. */
static struct addrinfo *entry(const char *text, int port) {
  struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
  struct sockaddr_in *four = (struct sockaddr_in *)(info + 1);
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)(info + 1);
  info->ai_addr = (struct sockaddr *)(info + 1);
  info->ai_socktype = SOCK_STREAM;
  if (inet_pton(AF_INET, text, &four->sin_addr)) {
    info->ai_family = four->sin_family = AF_INET;
    info->ai_addrlen = sizeof *four;
    four->sin_port = htons((unsigned short)port);
  } else if (inet_pton(AF_INET6, text, &six->sin6_addr)) {
    info->ai_family = six->sin6_family = AF_INET6;
    info->ai_addrlen = sizeof *six;
    six->sin6_port = htons((unsigned short)port);
  } else {
    abort();
  }
  return info;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
  size_t length = host ? strlen(host) : 0;
  if (length < 5 || strcmp(host + length - 5, ".stub") != 0)
    return ((resolve *)dlsym(RTLD_NEXT, "getaddrinfo"))(host, service, hints, list);
  char *words = strndup(host, length - 5), *rest = words, *word;
  int status = 0, found = 0;
  *list = NULL;
  while ((word = strsep(&rest, "+"))) {
    if (strncmp(word, "wait", 4) == 0) {
      long milliseconds = atol(word + 4);
      struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
      nanosleep(&time, NULL);
    } else if (strcmp(word, "none") == 0) {
      status = EAI_NONAME;
    } else {
      struct addrinfo *info = entry(word, service ? atoi(service) : 0);
      if (hints->ai_family != AF_UNSPEC && hints->ai_family != info->ai_family) {
        free(info);
        continue;
      }
      while (*list)
        list = &(*list)->ai_next;
      *list = info;
      found = 1;
    }
  }
  free(words);
  return status || found ? status : EAI_NONAME;
}
