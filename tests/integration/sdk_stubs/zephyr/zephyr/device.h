/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdbool.h>
#include <stddef.h>
struct device;
bool device_is_ready(const struct device *d);
extern const struct device the_console;
#define DEVICE_DT_GET(n) (&n)
#define DT_CHOSEN(n) the_console
