/* The reference firmware in an STM32CubeIDE project: a port of app/port.h. Compiled here: no (checked against stubs, see
 * docs/instrument.md).
 *
 * Add to the project: this file, and all of edgeprof/firmware's app/ and llm/; include paths app/ and include/.
 * Define MODEL_ADDRESS, and MODEL_BYTES if you know it. In CubeMX: a UART with its global interrupt enabled; nothing else.
 * Needs a core with DWT (Cortex-M3 and up). Frames go out through HAL_UART_Transmit and so through no translation. */
#include "main.h" /* CubeMX's: the HAL of the chip */

#include "edgeprof_port.h"
#include "port.h"

#ifndef MODEL_ADDRESS
#define MODEL_ADDRESS 0x08040000u /* behind the code, at the start of a sector */
#endif
#ifndef FLASH_BYTES
#define FLASH_BYTES (1024u * 1024u) /* of your chip */
#endif
#ifndef ARENA_BYTES
#define ARENA_BYTES (64u * 1024u) /* the RAM that you can spare */
#endif
#define FLASH_LEFT (0x08000000u + FLASH_BYTES - MODEL_ADDRESS)
#ifndef MODEL_BYTES
#define MODEL_BYTES FLASH_LEFT /* flash_needed_bytes is too large then, and nothing else */
#endif

/* CubeIDE's linker script. */
extern uint8_t _sdata[], _edata[], _sidata[], _sbss[], _ebss[], _Min_Stack_Size[];

enum { WAIT_MS = 500, RING = 1024 /* a power of two: a request of 1,024 bytes may come while a pass is computed */ };

static uint64_t arena[ARENA_BYTES / 8];
static UART_HandleTypeDef *line;
static uint8_t ring[RING], incoming;
static volatile uint32_t head; /* the interrupt moves this one only */
static uint32_t tail;

void HAL_UART_RxCpltCallback(UART_HandleTypeDef *from) {
    if (from != line) return;
    if (head - tail < RING) ring[head++ % RING] = incoming;
    HAL_UART_Receive_IT(line, &incoming, 1);
}

/* An overrun stops reception, and so does a byte that comes while HAL_UART_Transmit holds the lock of some HAL versions:
 * the callback's HAL_UART_Receive_IT is refused then. So it is begun again from here, too. */
static void listen(void) {
    if (line->RxState == HAL_UART_STATE_READY) HAL_UART_Receive_IT(line, &incoming, 1);
}

static void line_write(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    while (n) { /* the length is 16 bits wide */
        uint16_t part = n < 4096 ? (uint16_t)n : 4096;
        if (HAL_UART_Transmit(line, (uint8_t *)(uintptr_t)p, part, HAL_MAX_DELAY) != HAL_OK) return;
        p += part;
        n -= part;
    }
}

static size_t line_available(void) {
    listen();
    return head - tail;
}

static size_t line_read(void *bytes, size_t n) {
    uint8_t *p = bytes;
    size_t got = 0;
    uint32_t since = HAL_GetTick();
    while (head == tail && HAL_GetTick() - since < WAIT_MS) listen();
    while (head != tail && got < n) p[got++] = ring[tail++ % RING];
    return got;
}

static uint64_t ticks(void) { return DWT->CYCCNT; }

void edgeprof_main(UART_HandleTypeDef *uart) {
    static app_port port;
    line = uart;
    CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
    DWT->CYCCNT = 0;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
    listen();
    port.write = line_write;
    port.read = line_read;
    port.available = line_available;
    port.ticks = ticks;
    port.tick_bits = 32;
    port.tick_hz = port.board_clock_hz = port.pace_hz = HAL_RCC_GetHCLKFreq();
    port.board = "stm32"; /* say which one it is */
    port.core = "Cortex-M";
    port.clock = "cycles";
    port.kernel_variant = "c99";
    port.boot = (uint16_t)(HAL_GetUIDw0() ^ DWT->CYCCNT ^ HAL_GetTick()); /* a counter in a backup register is better */
    port.flash_bytes = FLASH_BYTES;
    port.image_bytes = (uint32_t)((uintptr_t)_sidata - 0x08000000u) + (uint32_t)(_edata - _sdata);
    port.static_bytes = (uint32_t)((_edata - _sdata) + (_ebss - _sbss)) - (uint32_t)sizeof arena;
    port.stack_bytes = (uint32_t)(uintptr_t)_Min_Stack_Size;
    port.arena = arena;
    port.arena_bytes = sizeof arena;
    port.ram_bytes = port.static_bytes + port.stack_bytes + (uint32_t)sizeof arena;
    port.model = (const void *)MODEL_ADDRESS;
    port.model_bytes = MODEL_BYTES;
    port.model_there = MODEL_BYTES < FLASH_LEFT ? MODEL_BYTES : FLASH_LEFT;
    port.n_ctx = 256;
    app_main(&port);
}
