/* How much longer a wait of `nanoseconds` takes than asked: the reference for oversleep.lua.
   usage: oversleep NANOSECONDS TIMES   prints: the median and the 99th percentile, in microseconds */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct timespec wait = {0, atol(argv[1])};
    int times = atoi(argv[2]), epoll = epoll_create1(0);
    long long *over = malloc(times * sizeof *over);
    struct epoll_event event;
    for (int i = 0; i < times; i++) {
        long long began = now();
        if (syscall(SYS_epoll_pwait2, epoll, &event, 1, &wait, NULL, 0) < 0) {
            perror("epoll_pwait2");
            return 1;
        }
        over[i] = now() - began - wait.tv_nsec;
    }
    qsort(over, times, sizeof *over, compare);
    printf("%f %f\n", over[times / 2] / 1e3, over[times * 99 / 100] / 1e3);
    return 0;
}
