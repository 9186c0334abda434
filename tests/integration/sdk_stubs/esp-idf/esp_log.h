/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef enum { ESP_LOG_NONE } esp_log_level_t;
void esp_log_level_set(const char *tag, esp_log_level_t level);
