/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef int uart_port_t;
#define UART_NUM_0 0
typedef void *QueueHandle_t;
enum { UART_DATA_8_BITS = 3, UART_PARITY_DISABLE = 0, UART_STOP_BITS_1 = 1, UART_HW_FLOWCTRL_DISABLE = 0, UART_SCLK_DEFAULT = 4 };
typedef struct { int baud_rate, data_bits, parity, stop_bits, flow_ctrl; uint8_t rx_flow_ctrl_thresh; int source_clk; } uart_config_t;
esp_err_t uart_driver_install(uart_port_t p, int rx, int tx, int queue, QueueHandle_t *q, int flags);
esp_err_t uart_param_config(uart_port_t p, const uart_config_t *c);
int uart_write_bytes(uart_port_t p, const void *src, size_t size);
int uart_read_bytes(uart_port_t p, void *buf, uint32_t length, TickType_t ticks);
esp_err_t uart_get_buffered_data_len(uart_port_t p, size_t *size);
