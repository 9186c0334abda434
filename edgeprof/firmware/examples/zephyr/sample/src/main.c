/* Telemetry only, on Zephyr: the toy model of ../llama2_loop, a run every five seconds. Compiled here: no (checked
 * against stubs, see docs/instrument.md). uart_poll_out() sends bytes as they are; printk() makes CR LF of each LF. */
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>

#include "edgeprof.h"
#include "tiny.h"

static const struct device *const uart = DEVICE_DT_GET(DT_CHOSEN(zephyr_console));

static int put(void *user, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    ARG_UNUSED(user);
    while (n--) uart_poll_out(uart, *p++);
    return 0;
}
static uint64_t now(void *user) {
    ARG_UNUSED(user);
    return k_cycle_get_32();
}
EP_CONTEXT(e, put, now, "board", CONFIG_BOARD, "clock", "device_timer", "model", "tiny", "kind", "generate");

static void story(void) {
    static const unsigned prompt[] = {20, 1, 5, 9};
    const unsigned n_prompt = ARRAY_SIZE(prompt), n_generate = 13;
    unsigned token = prompt[0], next;
    ep_run_begin(&e);
    for (unsigned pos = 0; pos < n_prompt + n_generate - 1; pos++, token = next) {
        ep_pass_begin(&e);
        const float *logits = tiny_forward(token, pos);
        next = pos + 1 < n_prompt ? prompt[pos + 1] : tiny_greedy(logits);
        ep_pass_end(&e, pos < n_prompt ? EP_PREFILL : EP_DECODE, (uint16_t)pos, token, next);
    }
    ep_run_end(&e, EP_OK, n_prompt, n_generate);
}

int main(void) {
    if (!device_is_ready(uart)) return 0;
    tiny_init();
    /* The rate is known at run time only, so it is no pair here: add "tick_hz" where your board's is fixed. */
    ep_start(&e, &e_config, 32, (uint32_t)sys_clock_hw_cycles_per_sec(), (uint16_t)k_cycle_get_32());
    for (;;) {
        story();
        k_msleep(5000);
    }
}
