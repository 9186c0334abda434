/* RAM, from the bottom: stack, .data, .bss, arena. The stack grows down: where there is nothing below the RAM, running
 * over it is a fault, and everywhere the watermark tells. Flash: code, constants, the values of .data; behind the next
 * multiple of 64 a header and the model, which are no part of the image. */
#include "bare.h"

#define SYMBOL(name) extern uint8_t name[]
SYMBOL(link_flash_start);
SYMBOL(link_flash_end);   /* what the board has */
SYMBOL(link_image_end);   /* code, constants, .data's values */
SYMBOL(link_model);       /* the header */
SYMBOL(link_data_load);
SYMBOL(link_data_start);
SYMBOL(link_data_end);
SYMBOL(link_bss_start);
SYMBOL(link_bss_end);
SYMBOL(link_stack_bottom);
SYMBOL(link_paint_end);   /* above it the stack is in use while it is painted */
SYMBOL(link_stack_top);
SYMBOL(link_ram_start);
SYMBOL(link_ram_end);

enum { PAINT = 0xa5 };

void bare_start(void) {
    const uint8_t *from = link_data_load;
    for (uint8_t *p = link_data_start; p < link_data_end;) *p++ = *from++;
    for (uint8_t *p = link_bss_start; p < link_bss_end;) *p++ = 0;
    for (volatile uint8_t *p = link_stack_bottom; p < link_paint_end; p++) *p = PAINT;
}

uint32_t board_stack_peak(void) {
    const uint8_t *p = link_stack_bottom;
    while (p < link_stack_top && *p == PAINT) p++;
    return (uint32_t)(link_stack_top - p);
}

static uint32_t between(const uint8_t *from, const uint8_t *to) { return (uint32_t)((uintptr_t)to - (uintptr_t)from); }

void bare_describe(board *b) {
    const bare_header *header = (const bare_header *)(const void *)link_model;
    uint8_t *arena = (uint8_t *)(((uintptr_t)link_bss_end + 7u) & ~(uintptr_t)7u);
    b->ram_bytes = between(link_ram_start, link_ram_end);
    b->flash_bytes = between(link_flash_start, link_flash_end);
    b->image_bytes = between(link_flash_start, link_image_end);
    b->stack_bytes = between(link_stack_bottom, link_stack_top);
    b->static_bytes = between(link_ram_start, arena) - b->stack_bytes;
    b->arena = arena;
    b->arena_bytes = between(arena, link_ram_end);
    b->n_ctx = 1;
    b->boot = 1;
    if (header->magic != BARE_MAGIC) return;
    b->image_bytes = between(link_flash_start, link_model) + (uint32_t)sizeof *header; /* the gap and the header, too */
    b->model = header + 1;
    b->model_bytes = header->model_bytes;
    b->model_there = header->model_there;
    b->n_ctx = header->n_ctx;
    b->boot = (uint16_t)header->boot;
}
