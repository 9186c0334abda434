/* The reference firmware's inference, compiled natively: passes per second of a full context, with all logits.
 *
 * usage: native MODEL.gguf WINDOWS; prints "passes seconds". */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "forward.h"

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    FILE *file = fopen(argv[1], "rb");
    if (!file) return 2;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    void *data = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!data || fread(data, 1, size, file) != size) return 2;
    static model m;
    static session s;
    if (!model_open(&m, data, size)) {
        fprintf(stderr, "%s\n", m.problem);
        return 2;
    }
    session_init(&s, &m, 256, aligned_alloc(64, (session_bytes(&m, 256) + 63) / 64 * 64));
    int windows = atoi(argv[2]);
    long passes = 0;
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (int w = 0; w < windows; w++)
        for (uint32_t p = 0; p < 255; p++, passes++) session_forward(&s, (p * 7u + 11u) % m.vocab, p, 1);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    printf("%ld %.6f\n", passes, (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec));
    return 0;
}
