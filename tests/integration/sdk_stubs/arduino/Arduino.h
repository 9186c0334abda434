/* A stub: what the example uses of it, written from the SDK's documentation. */
#include <stdint.h>
#include <stddef.h>
struct HardwareSerial { void begin(unsigned long); size_t write(const uint8_t *, size_t); };
extern HardwareSerial Serial;
unsigned long micros();
void delay(unsigned long);
int analogRead(uint8_t);
#define A0 14
#ifdef ESP32
struct EspClass { uint32_t getCycleCount(); };
extern EspClass ESP;
#define F_CPU 240000000L
#endif
