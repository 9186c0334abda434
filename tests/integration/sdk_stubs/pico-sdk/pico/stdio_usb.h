/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdbool.h>
typedef struct stdio_driver stdio_driver_t;
extern stdio_driver_t stdio_usb;
bool stdio_usb_connected(void);
