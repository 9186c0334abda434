// The RP2040 in rp2040js: node rp2040.mjs <folder of rp2040js> <contents of the flash>. UART0 is standard input and output.
//
// The core has no cycle counter, so one is put where the chip has nothing (0x40070000): the cycles so far, 32 bits. While the
// core sleeps (wfe) for want of input, nothing happens and no cycles pass.
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, flash] = process.argv.slice(2);
const { RP2040 } = await import(pathToFileURL(join(folder, 'dist', 'esm', 'index.js')));

const CYCLES_AT = 0x40070, NANOSECONDS = 8, TURN = 200000, TIMERS = 256;
const VECTORS = 0x10000100, FIFO = 32;

const chip = new RP2040();
chip.flash.set(readFileSync(flash));
chip.core.VTOR = VECTORS;
chip.core.SP = chip.flashView.getUint32(VECTORS - 0x10000000, true);
chip.core.PC = chip.flashView.getUint32(VECTORS - 0x10000000 + 4, true) & ~1;

let cycles = 0;
chip.peripherals[CYCLES_AT] = { readUint32: () => cycles >>> 0, writeUint32Atomic: () => {} };

let out = Buffer.alloc(65536), filled = 0;
function flush() {
  for (let sent = 0; sent < filled; ) {
    try {
      sent += writeSync(1, out, sent, filled - sent);
    } catch (error) {
      if (error.code !== 'EAGAIN') process.exit(0); // nobody listens any more
    }
  }
  filled = 0;
}
chip.uart[0].onByte = (byte) => {
  if (filled === out.length) flush();
  out[filled++] = byte;
};

const input = [];
let taken = 0;
process.stdin.on('data', (data) => {
  input.push(...data);
  if (!running) turn();
});
process.stdin.on('end', () => process.exit(0));

function feed() {
  const fifo = chip.uart[0].rxFIFO;
  while (taken < input.length && fifo.itemCount < FIFO) chip.uart[0].feedByte(input[taken++]);
  if (taken === input.length) {
    input.length = 0;
    taken = 0;
  }
}

let running = false;
// One stretch of work: the event loop gets its turn in between, for input.
function turn() {
  const { core, clock } = chip;
  running = true;
  feed();
  core.waiting = false;
  for (let n = 0; n < TURN && !core.waiting; n += TIMERS) {
    const before = cycles;
    for (let i = 0; i < TIMERS && !core.waiting; i++) cycles += core.executeInstruction();
    clock.tick((cycles - before) * NANOSECONDS);
  }
  flush();
  if (core.waiting && taken === input.length) running = false; // until input comes
  else setImmediate(turn);
}
turn();
