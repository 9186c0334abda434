/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef struct { uint32_t offset, size; } esp_partition_pos_t;
typedef struct { uint32_t start_addr; uint32_t image_len; } esp_image_metadata_t;
esp_err_t esp_image_get_metadata(const esp_partition_pos_t *part, esp_image_metadata_t *metadata);
