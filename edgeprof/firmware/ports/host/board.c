/* This machine itself: the line is a file descriptor, time is the monotonic clock in nanoseconds. A clock that is really
 * noisy, and a core that is much faster than any microcontroller.
 *
 * usage: host LINE_FD MODEL_FILE RAM_BYTES FLASH_BYTES IMAGE_BYTES N_CTX BOOT */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../board.h"

enum { STACK_BYTES = 8 * 1024 };

#undef main
int board_program(void); /* the program's main, renamed by the build: this file has the one that is called first */

#if defined(__x86_64__)
#define HOST_CORE "x86-64"
#elif defined(__aarch64__)
#define HOST_CORE "AArch64"
#else
#define HOST_CORE "of this machine"
#endif
static board the_board;
static int line;

const board *board_init(void) { return &the_board; }

static int ready(short what, int milliseconds) {
    struct pollfd p = {line, what, 0};
    return poll(&p, 1, milliseconds) > 0;
}

void board_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    while (n) {
        ssize_t sent = write(line, p, n);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        } else if (sent < 0 && errno == EAGAIN) {
            ready(POLLOUT, -1);
        } else if (sent < 0 && errno != EINTR) {
            exit(0); /* the line is gone, and so is the board */
        }
    }
}

size_t board_available(void) { return (size_t)ready(POLLIN, 0); }

size_t board_read(void *bytes, size_t n) {
    if (!ready(POLLIN, 500)) return 0;
    ssize_t got = read(line, bytes, n);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) exit(0);
    return got > 0 ? (size_t)got : 0;
}

uint64_t board_ticks(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t board_stack_peak(void) { return 0xffffffffu; } /* not known: the operating system's stack is not ours to paint */

static const void *map(const char *file, size_t *size) {
    struct stat s;
    int fd = open(file, O_RDONLY);
    if (fd < 0 || fstat(fd, &s) || s.st_size == 0) exit(4);
    *size = (size_t)s.st_size;
    void *at = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) exit(4);
    close(fd);
    return at;
}

static uint32_t number(const char *text) { return (uint32_t)strtoul(text, NULL, 10); }

int main(int argc, char **argv) {
    board *b = &the_board;
    if (argc != 8) return 3;
    line = atoi(argv[1]);
    b->name = "host";
    b->core = HOST_CORE;
    b->clock = "host";
    b->tick_bits = 64;
    b->tick_hz = b->clock_hz = b->pace_hz = 1000000000u;
    if (argv[2][0]) b->model = map(argv[2], &b->model_bytes);
    b->model_there = b->model_bytes;
    b->ram_bytes = number(argv[3]);
    b->flash_bytes = number(argv[4]);
    b->image_bytes = number(argv[5]);
    b->stack_bytes = STACK_BYTES;
    b->arena_bytes = b->ram_bytes - STACK_BYTES;
    b->arena = malloc(b->arena_bytes);
    if (!b->arena) return 4;
    b->n_ctx = number(argv[6]);
    b->boot = (uint16_t)number(argv[7]);
    return board_program();
}
