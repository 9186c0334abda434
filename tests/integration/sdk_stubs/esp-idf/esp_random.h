/* A stub: what the example uses of it, written from the SDK's documentation. */
uint32_t esp_random(void);
