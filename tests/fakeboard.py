"""A board made of Python, for tests of the host's side: it speaks the wire over a pty and computes nothing.

Its numbers are functions of the position alone, so a test can say what must arrive. ``--stream N`` sends N runs
without being asked, paced, and writes each frame to ``--tap`` *before* sending it; with ``--wait`` it begins
when a line comes on standard input, for opening a port throws away what came before.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import threading
import time
import tty

from edgeprof import wire

PAIRS = {
    "board": "fake", "core": "none", "clock": "instructions", "board_clock_hz": "1000000", "firmware": "fake 1",
    "model": "toy", "arch": "llama", "n_params": "1000", "quant": "Q8_0", "model_bytes": "2000", "n_ctx": "16",
    "ram_bytes": "1000", "flash_bytes": "5000", "ram_needed_bytes": "900", "flash_needed_bytes": "2000",
}  # fmt: skip
TOKEN = struct.Struct("<IIIIIfHHBB")


def token_record(
    start: int, ticks: int, position: int, phase: int, *, window: int = 0xFFFF, scored: bool = False
) -> bytes:
    flags = phase | (4 if scored else 0) | 8 | 16 | 32
    return TOKEN.pack(start, ticks, position + 1, position + 2, position + 2, position / 8, position, window, 1, flags)


class FakeBoard:
    """Frames of a board; ``send`` takes bytes."""

    def __init__(self, send, boot=7, pairs=PAIRS):
        self.send_bytes, self.boot, self.pairs = send, boot, dict(pairs)
        self.seq = self.run = self.now = self.frames_in_run = 0
        self.t_begin = 0

    def frame(self, type_, body=b"", n=0, *, in_run=True, t0=None, dt=0):
        run = self.run if in_run else 0
        data = wire.encode_frame(
            type_, body, n=n, boot=self.boot, run=run, seq=self.seq, t0=self.now if t0 is None else t0, dt=dt
        )
        self.seq += 1
        if in_run:
            self.frames_in_run += 1
        self.send_bytes(data)
        return data

    def hello(self, request=None):
        pairs = self.pairs | ({"request": str(request)} if request else {}) | {"fits": "1"}
        self.frame(wire.Type.HELLO, wire.encode_pairs(pairs), len(pairs), in_run=False)

    def reply(self, request, code=0, text=""):
        body = struct.pack("<HBB", request, code, len(text)) + text.encode()
        self.frame(wire.Type.REPLY, body, 1, in_run=False)

    def begin(self, **more):
        self.run += 1
        self.frames_in_run, self.t_begin = 0, self.now
        self.passes = 0
        self.repeat_begin(**more)

    def repeat_begin(self, **more):
        pairs = self.pairs | {k: str(v) for k, v in more.items()}
        self.frame(wire.Type.RUN_BEGIN, wire.encode_pairs(pairs), len(pairs), t0=self.t_begin)

    def tokens(self, first, count, phase, **more):
        base, body = self.now, b""
        for p in range(first, first + count):
            body += token_record(self.now - base, 100 + p, p, phase, **more)
            self.now += 110 + p
        self.passes += count
        self.frame(wire.Type.TOKENS, body, count, t0=base, dt=1)

    def end(self, status=0, n_prompt=0, n_generated=0):
        sent = self.frames_in_run
        body = wire.RUN_END.pack(status, n_prompt, n_generated, sent, self.passes, 0, 0, 0, self.t_begin)
        self.frame(wire.Type.RUN_END, body, 1)

    def stages(self, position, ticks):
        body = b"".join(struct.pack("<HBBI", position, i, 0, t) for i, t in enumerate(ticks))
        self.frame(wire.Type.STAGES, body, len(ticks), dt=1)

    def memory(self, offset, heap, peak, stack, kv):
        self.frame(wire.Type.MEMORY, struct.pack("<IIIII", offset, heap, peak, stack, kv), 1, t0=self.t_begin, dt=1)

    def event(self, offset, kind, number):
        self.frame(wire.Type.EVENT, struct.pack("<IBBH", offset, kind, number, 0), 1, t0=self.t_begin, dt=1)

    def logits(self, position, first, values, window=0):
        body = wire.LOGITS.pack(position, window, first) + struct.pack(f"<{len(values)}f", *values)
        self.frame(wire.Type.LOGITS, body, len(values))

    def reset(self):
        self.boot, self.seq, self.run, self.now = self.boot + 1, 0, 0, 0

    def generate(self, label, n_prompt=4, n=8):
        self.begin(kind="generate", prompt_id=label, n_prompt=n_prompt, n_generate=n, sampler="greedy")
        self.tokens(0, n_prompt, 0)
        self.tokens(n_prompt, n - 1, 1)
        self.end(0, n_prompt, n)


def make_capture(out, name, streams, *, read=101, facts=None, prompts=()):
    """Write a capture whose journal holds what boards sent, a read each ``read`` bytes, a microsecond each."""
    from edgeprof import journal
    from edgeprof.capture import Source, prepare
    from edgeprof.layout import CAPTURE_JSON, write_json

    sources = [Source("loop://", f"b{i}", facts=facts or {}) for i in range(len(streams))]
    folder = prepare(out, sources, prompts, host_label=None, capture_id=name, extra={})
    header = json.loads((folder / CAPTURE_JSON).read_text())
    write_json(folder / CAPTURE_JSON, header | {"monotonic_start_ns": 0, "started_at": "2026-01-01T00:00:00+00:00"})
    for port, stream in enumerate(streams):
        writer = journal.PortWriter(folder, port, piece_bytes=1500)
        append_reads(writer, stream, read)
        writer.close()
    return folder


def append_reads(writer, data, read=101):
    """Append to a journal as :func:`make_capture` does, in reads that end where its reads end."""
    while data:
        size = read - writer.offset % read
        writer.append(data[:size], 1000 * (writer.offset // read + 1))
        data = data[size:]


def serve(board, requests, mode):
    """Answer requests until the stream ends."""
    for frame in requests:
        body = frame.body
        if mode in ("mute", "chatter"):
            continue
        if frame.type == wire.Type.ASK_HELLO:
            board.hello(frame.run)
        elif frame.type == wire.Type.ASK_RUN:
            n, _, length = struct.unpack_from("<HBB", body)
            label = body[12 : 12 + length].decode()
            board.reply(frame.run)
            if mode == "stall":
                board.begin(kind="generate", prompt_id=label, n_prompt=4, n_generate=n)
                board.tokens(0, 4, 0)
                continue
            if mode == "die":
                board.begin(kind="generate", prompt_id=label, n_prompt=4, n_generate=n)
                board.tokens(0, 4, 0)
                time.sleep(0.3)
                os._exit(1)
            board.generate(label, 4, n)
        elif frame.type == wire.Type.ASK_SCORE:
            window, n_windows, n_tokens, first, length, _ = struct.unpack_from("<HHHHBB", body)
            if window == 0:
                label = body[12 : 12 + length].decode()
                board.begin(kind="score", prompt_id=label, n_windows=n_windows, n_prompt=n_windows * n_tokens)
            board.tokens(0, first, 2, window=window)
            board.tokens(first, n_tokens - 1 - first, 2, window=window, scored=True)
            if window == n_windows - 1:
                board.end(0, n_windows * n_tokens, 0)
            board.reply(frame.run)
        else:
            board.reply(frame.run)


def heartbeats(board):
    while True:
        time.sleep(0.2)
        board.frame(wire.Type.HEARTBEAT, in_run=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tap")
    parser.add_argument("--stream", type=int, default=0)
    parser.add_argument("--bytes-per-second", type=float, default=1e6)
    parser.add_argument("--steady", action="store_true", help="make up for what was late")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--mode", choices=["normal", "mute", "chatter", "stall", "die"], default="normal")
    args = parser.parse_args()
    primary, secondary = os.openpty()
    tty.setraw(primary)
    tty.setraw(secondary)
    print(json.dumps({"url": os.ttyname(secondary)}), flush=True)
    tap = os.open(args.tap, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if args.tap else -1

    def send(data):
        if args.tap:
            os.write(tap, data)
        view = memoryview(data)
        while view:
            view = view[os.write(primary, view) :]

    board = FakeBoard(send)

    def requests():
        splitter = wire.Splitter()
        while True:
            for piece in splitter.feed(os.read(primary, 4096)):
                if piece.frame is not None:
                    yield piece.frame

    if args.wait and not sys.stdin.buffer.raw.readline():
        return
    threading.Thread(target=lambda: (sys.stdin.buffer.raw.readall(), os._exit(0)), daemon=True).start()
    if not args.stream:
        if args.mode == "chatter":
            threading.Thread(target=heartbeats, args=(board,), daemon=True).start()
        serve(board, requests(), args.mode)
        return
    due = time.monotonic()
    original = board.send_bytes

    def paced(data):
        nonlocal due
        # What was late is not made up for, as a rule: a board that was stopped for a while goes on as before.
        now = time.monotonic()
        due = (due if args.steady else max(due, now)) + len(data) / args.bytes_per_second
        time.sleep(max(due - now, 0))
        original(data)

    board.send_bytes = paced
    for i in range(args.stream):
        board.begin(kind="generate", prompt_id=f"p{i}", n_prompt=30, n_generate=90)
        for k in range(4):
            board.tokens(30 * k, 30, 0 if k == 0 else 1)
            if k == 2:
                paced(b"a line of text %d\r\n" % i)
        board.end(0, 30, 91)
    time.sleep(3600)


if __name__ == "__main__":
    main()
