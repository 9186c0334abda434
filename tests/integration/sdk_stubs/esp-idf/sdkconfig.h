/* A stub: what the example uses of it, written from the SDK's documentation. */
#define CONFIG_EDGEPROF_BAUD 921600
#define CONFIG_EDGEPROF_CONTEXT 256
#define CONFIG_IDF_TARGET "esp32s3"
#define CONFIG_ESP_MAIN_TASK_STACK_SIZE 12288
#define CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ 240
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_ERROR_CHECK(x) ((void)(x))
#include <stdint.h>
#include <stddef.h>
