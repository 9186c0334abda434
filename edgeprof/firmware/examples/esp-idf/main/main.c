/* The reference firmware on ESP-IDF 5: a port of app/port.h. Compiled here: no (checked against stubs, see
 * docs/instrument.md). The drivers are called directly: what goes through stdout has each LF made into CR LF, which
 * destroys frames. */
#include "sdkconfig.h"

#include "esp_cpu.h"
#include "esp_flash.h"
#include "esp_heap_caps.h"
#include "esp_image_format.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"
#include "esp_random.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#ifdef CONFIG_EDGEPROF_LINE_USB_SERIAL_JTAG
#include "driver/usb_serial_jtag.h"
#else
#include "driver/uart.h"
#endif

#define app_main edgeprof_app_main /* as the component names it: app_main is ESP-IDF's own entry */
#include "port.h"
#undef app_main

extern uint8_t _data_start[], _data_end[], _bss_start[], _bss_end[]; /* of ESP-IDF's linker script */

enum { WAIT_MS = 500, LINE_BYTES = 2048 };

#ifdef CONFIG_EDGEPROF_LINE_USB_SERIAL_JTAG

static uint8_t early; /* a byte that line_available() found */
static int is_early;

static void line_open(void) {
    usb_serial_jtag_driver_config_t config = {.tx_buffer_size = LINE_BYTES, .rx_buffer_size = LINE_BYTES};
    ESP_ERROR_CHECK(usb_serial_jtag_driver_install(&config));
}

/* With no host on the other end the buffer stays full: then what does not fit is lost, rather than the run stopped. */
static void line_write(const void *bytes, size_t n) {
    const char *p = bytes;
    while (n) {
        int sent = usb_serial_jtag_write_bytes(p, n < 64 ? n : 64, pdMS_TO_TICKS(100));
        if (sent <= 0) return;
        p += sent;
        n -= (size_t)sent;
    }
}

static size_t line_read(void *bytes, size_t n) {
    if (is_early) {
        is_early = 0;
        *(uint8_t *)bytes = early;
        return 1;
    }
    int got = usb_serial_jtag_read_bytes(bytes, (uint32_t)n, pdMS_TO_TICKS(WAIT_MS));
    return got > 0 ? (size_t)got : 0;
}

static size_t line_available(void) {
    if (!is_early) is_early = usb_serial_jtag_read_bytes(&early, 1, 0) == 1;
    return (size_t)is_early;
}

#else

static void line_open(void) {
    const uart_config_t config = {
        .baud_rate = CONFIG_EDGEPROF_BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };
    ESP_ERROR_CHECK(uart_driver_install(UART_NUM_0, LINE_BYTES, LINE_BYTES, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(UART_NUM_0, &config));
}

/* Into the driver's buffer: it blocks only while that is full. */
static void line_write(const void *bytes, size_t n) { uart_write_bytes(UART_NUM_0, bytes, n); }

static size_t line_available(void) {
    size_t waiting = 0;
    return uart_get_buffered_data_len(UART_NUM_0, &waiting) == ESP_OK ? waiting : 0;
}

/* uart_read_bytes() waits until it has all that was asked for: so one byte, and then what is there. */
static size_t line_read(void *bytes, size_t n) {
    if (uart_read_bytes(UART_NUM_0, bytes, 1, pdMS_TO_TICKS(WAIT_MS)) != 1) return 0;
    size_t more = line_available();
    if (more > n - 1) more = n - 1;
    int got = more ? uart_read_bytes(UART_NUM_0, (uint8_t *)bytes + 1, (uint32_t)more, 0) : 0;
    return 1 + (got > 0 ? (size_t)got : 0);
}

#endif

/* The core's own counter: app_main's task is pinned to core 0. It turns over in 18 s at 240 MHz; edgeprof looks at it
 * with each stage of each pass, and twice a second while it waits. */
static uint64_t ticks(void) { return esp_cpu_get_cycle_count(); }

static uint32_t stack_peak(void) {
    return CONFIG_ESP_MAIN_TASK_STACK_SIZE - (uint32_t)uxTaskGetStackHighWaterMark(NULL); /* in bytes, on ESP-IDF */
}

static uint32_t image_bytes(void) {
    const esp_partition_t *running = esp_ota_get_running_partition();
    const esp_partition_pos_t where = {.offset = running->address, .size = running->size};
    esp_image_metadata_t image;
    return esp_image_get_metadata(&where, &image) == ESP_OK ? image.image_len : running->size;
}

static void find_model(app_port *port) {
    const esp_partition_t *p = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "model");
    esp_partition_mmap_handle_t handle;
    if (!p || esp_partition_mmap(p, 0, p->size, ESP_PARTITION_MMAP_DATA, &port->model, &handle) != ESP_OK) return;
#ifdef MODEL_BYTES
    port->model_bytes = MODEL_BYTES;
#else
    port->model_bytes = p->size; /* flash_needed_bytes is too large then, and nothing else */
#endif
    port->model_there = port->model_bytes < p->size ? port->model_bytes : p->size;
}

void app_main(void) {
    static app_port port;
    esp_log_level_set("*", ESP_LOG_NONE); /* another task's line in the middle of a frame would destroy it */
    line_open();
    port.write = line_write;
    port.read = line_read;
    port.available = line_available;
    port.ticks = ticks;
    port.tick_bits = 32;
    port.tick_hz = port.board_clock_hz = port.pace_hz = CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ * 1000000u;
    port.board = CONFIG_IDF_TARGET;
#ifdef CONFIG_IDF_TARGET_ARCH_XTENSA
    port.core = "Xtensa LX";
#else
    port.core = "RISC-V";
#endif
    port.clock = "cycles";
    port.kernel_variant = "c99";
    port.boot = (uint16_t)esp_random();
    port.image_bytes = image_bytes();
    port.static_bytes = (uint32_t)((_data_end - _data_start) + (_bss_end - _bss_start));
    port.stack_bytes = CONFIG_ESP_MAIN_TASK_STACK_SIZE;
    port.stack_peak = stack_peak;
    port.arena_bytes = heap_caps_get_largest_free_block(MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT) & ~(size_t)7;
    port.arena = heap_caps_aligned_alloc(8, port.arena_bytes, MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (!port.arena) port.arena_bytes = 0;
    /* What a model may use: ESP-IDF keeps the rest. */
    port.ram_bytes = port.static_bytes + port.stack_bytes + (uint32_t)port.arena_bytes;
    if (esp_flash_get_size(NULL, &port.flash_bytes) != ESP_OK) port.flash_bytes = 0;
    find_model(&port);
    port.n_ctx = CONFIG_EDGEPROF_CONTEXT;
    edgeprof_app_main(&port);
}
