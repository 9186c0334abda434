/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef uint32_t TickType_t;
typedef unsigned UBaseType_t;
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
