/* A stub: what the example uses of it, written from the SDK's documentation. */
#include "esp_partition.h"
const esp_partition_t *esp_ota_get_running_partition(void);
