/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef uint32_t esp_cpu_cycle_count_t;
esp_cpu_cycle_count_t esp_cpu_get_cycle_count(void);
