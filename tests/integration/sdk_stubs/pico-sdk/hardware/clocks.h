/* A stub: what the example uses of it, written from the SDK's documentation. */
enum clock_index { clk_sys };
unsigned clock_get_hz(enum clock_index c);
