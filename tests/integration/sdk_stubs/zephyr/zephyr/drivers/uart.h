/* A stub: what the example uses of it, written from the SDK's documentation. */
void uart_poll_out(const struct device *d, unsigned char c);
