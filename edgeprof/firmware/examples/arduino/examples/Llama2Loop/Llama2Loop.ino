// Telemetry only, in an Arduino sketch: a run of a toy model every five seconds. Compiled here: no (checked against
// stubs, see docs/instrument.md). Serial.write() sends bytes as they are. The toy takes 31 KiB of RAM: no sketch for an AVR.
#include <edgeprof.h>
extern "C" {
#include "tiny.h"
}

static int put(void *, const void *bytes, size_t n) { return Serial.write((const uint8_t *)bytes, n) == n ? 0 : 1; }
#if defined(ESP32) || defined(ESP8266)
static uint64_t now(void *) { return ESP.getCycleCount(); }
#define TICK_HZ ((uint32_t)F_CPU)
#define CLOCK "cycles"
#else
static uint64_t now(void *) { return micros(); }
#define TICK_HZ 1000000u
#define CLOCK "device_timer"
#endif
EP_CONTEXT(e, put, now, "board", "my board", "clock", CLOCK, "model", "tiny", "kind", "generate");

void setup() {
  Serial.begin(115200);
  tiny_init();
  ep_start(&e, &e_config, 32, TICK_HZ, (uint16_t)analogRead(A0));  // the last one: another number after each reset
}

void loop() {
  static const unsigned prompt[] = {20, 1, 5, 9};
  const unsigned n_prompt = 4, n_generate = 13;
  unsigned token = prompt[0], next;
  ep_run_begin(&e);
  for (unsigned pos = 0; pos < n_prompt + n_generate - 1; pos++, token = next) {
    ep_pass_begin(&e);
    const float *logits = tiny_forward(token, pos);
    next = pos + 1 < n_prompt ? prompt[pos + 1] : tiny_greedy(logits);
    ep_pass_end(&e, pos < n_prompt ? EP_PREFILL : EP_DECODE, (uint16_t)pos, token, next);
  }
  ep_run_end(&e, EP_OK, n_prompt, n_generate);
  for (int i = 0; i < 50; i++) {
    delay(100);
    ep_poll(&e);  // 32 bits of cycles turn over in seconds: somebody must look
  }
}
