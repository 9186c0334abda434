/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#define PICO_ERROR_TIMEOUT (-1)
#define XIP_BASE 0x10000000u
#define PICO_FLASH_SIZE_BYTES (2 * 1024 * 1024)
#define PICO_BOARD "pico"
#define PICO_RP2040 1
bool stdio_init_all(void);
struct stdio_driver;
void stdio_set_translate_crlf(struct stdio_driver *driver, bool translate);
int getchar_timeout_us(uint32_t us);
void sleep_ms(uint32_t ms);
uint64_t time_us_64(void);
