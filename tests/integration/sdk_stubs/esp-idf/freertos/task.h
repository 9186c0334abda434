/* A stub: what the example uses of it, written from the SDK's documentation. */
typedef void *TaskHandle_t;
UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);
