/* What threads cost without coev.
 * usage: threads KIND COUNT   prints: nanoseconds for one of what the kind says
 * Linked with the Lua that is measured; the few functions of its API are declared here, so no header is needed. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

typedef struct lua_State lua_State;
lua_State *luaL_newstate(void);
void luaL_openlibs(lua_State *);
void lua_close(lua_State *);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void *state(void *unused) {
    lua_State *l = luaL_newstate();
    luaL_openlibs(l);
    lua_close(l);
    return unused;
}

static void start(long count) {
    for (long i = 0; i < count; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, state, NULL);
        pthread_join(thread, NULL);
    }
}

static int there, back;

static void *echo(void *argument) {
    for (long i = (long)argument; i > 0; i--) {
        uint64_t value;
        if (read(there, &value, 8) != 8 || write(back, &value, 8) != 8) abort();
    }
    return NULL;
}

static void ping_pong(long count) {
    pthread_t thread;
    there = eventfd(0, 0), back = eventfd(0, 0);
    pthread_create(&thread, NULL, echo, (void *)count);
    for (long i = 0; i < count; i++) {
        uint64_t value = 1;
        if (write(there, &value, 8) != 8 || read(back, &value, 8) != 8) abort();
    }
    pthread_join(thread, NULL);
}

/* A queue of strings, each allocated by the sender and freed by the receiver. */
#define ROOM 1024
static char *queue[ROOM];
static long head, length;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;

static void *take(void *argument) {
    long sum = 0;
    for (long i = (long)argument; i > 0; i--) {
        pthread_mutex_lock(&mutex);
        while (length == 0) pthread_cond_wait(&filled, &mutex);
        char *string = queue[head];
        head = (head + 1) % ROOM;
        if (length-- == ROOM) pthread_cond_signal(&emptied);
        pthread_mutex_unlock(&mutex);
        sum += string[50];
        free(string);
    }
    return (void *)sum;
}

static void strings(long count) {
    pthread_t thread;
    char text[100];
    memset(text, 'x', sizeof text);
    pthread_create(&thread, NULL, take, (void *)count);
    for (long i = 0; i < count; i++) {
        char *string = memcpy(malloc(sizeof text), text, sizeof text);
        pthread_mutex_lock(&mutex);
        while (length == ROOM) pthread_cond_wait(&emptied, &mutex);
        queue[(head + length) % ROOM] = string;
        if (length++ == 0) pthread_cond_signal(&filled);
        pthread_mutex_unlock(&mutex);
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    long count = atol(argv[2]);
    double begin = now();
    if (!strcmp(argv[1], "start")) start(count);
    else if (!strcmp(argv[1], "ping_pong")) ping_pong(count);
    else if (!strcmp(argv[1], "strings")) strings(count);
    else return 2;
    printf("%.1f\n", (now() - begin) / count * 1e9);
    return 0;
}
