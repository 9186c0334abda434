/* A stub: what the example uses of it, written from the SDK's documentation. */
#define MALLOC_CAP_8BIT (1u << 2)
#define MALLOC_CAP_INTERNAL (1u << 11)
size_t heap_caps_get_largest_free_block(uint32_t caps);
void *heap_caps_aligned_alloc(size_t a, size_t n, uint32_t caps);
