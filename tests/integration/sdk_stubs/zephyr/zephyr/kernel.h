/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdint.h>
#define ARG_UNUSED(x) ((void)(x))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONFIG_BOARD "native_sim"
uint32_t k_cycle_get_32(void);
int sys_clock_hw_cycles_per_sec(void);
int32_t k_msleep(int32_t ms);
