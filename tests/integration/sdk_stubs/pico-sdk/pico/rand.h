/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdint.h>
uint32_t get_rand_32(void);
