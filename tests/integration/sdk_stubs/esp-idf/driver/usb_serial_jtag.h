/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef struct { uint32_t tx_buffer_size, rx_buffer_size; } usb_serial_jtag_driver_config_t;
esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *c);
int usb_serial_jtag_read_bytes(void *buf, uint32_t length, TickType_t ticks);
int usb_serial_jtag_write_bytes(const void *src, size_t size, TickType_t ticks);
