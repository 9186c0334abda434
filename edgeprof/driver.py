"""Talking to our own firmware: which request follows which answer. No port, no clock: a generator.

The generator yields :class:`Ask` and is sent the frame that answered it, or None if none came in time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from edgeprof import wire
from edgeprof.errors import DeviceError

__all__ = ["Ask", "Evaluation", "Generation", "Outcome", "converse"]

HELLO_SECONDS, HELLO_TRIES = 2.0, 5
REPLY_SECONDS, REPLY_TRIES = 10.0, 3
DOES_NOT_FIT = 4


@dataclass(frozen=True, slots=True)
class Generation:
    """A prompt to continue; a temperature of 0 is greedy."""

    prompt_id: str
    text: str
    n_generate: int = 64
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A text to score, in windows of the context's length.

    ``tokens`` are those of the whole text, without BOS. ``max_windows`` of 0 is all of it. With ``probe`` only so many
    tokens from the text's beginning are asked for, in one window, and none counts for the perplexity: their NLLs are
    there to be held against another board's. With ``logits`` the board sends them, too, of the positions that count.
    """

    prompt_id: str
    text: str
    tokens: Sequence[int]
    bos_id: int
    max_windows: int = 0
    probe: int = 0
    logits: bool = False

    def first_scored(self, n_ctx: int) -> int:
        """Return the first position of a window that counts: the second half does, of a probe nothing."""
        return self.probe or n_ctx // 2

    def windows(self, n_ctx: int) -> list[list[int]]:
        """Return the windows: each BOS and then n_ctx - 1 tokens of the text.

        llama.cpp's protocol: the text, BOS before it, is cut every n_ctx tokens, the first token of each window
        gives way to BOS, and what is left at the end is not used.
        """
        whole = [self.bos_id, *self.tokens]
        if self.probe:
            return [whole[: self.probe + 1]] if self.probe <= min(n_ctx, len(self.tokens)) else []
        count = len(whole) // n_ctx
        if self.max_windows:
            count = min(count, self.max_windows)
        return [[self.bos_id, *whole[i * n_ctx + 1 : (i + 1) * n_ctx]] for i in range(count)]


Job = Generation | Evaluation


@dataclass(frozen=True, slots=True)
class Ask:
    """Send ``frame`` and wait until ``done`` accepts one; every frame that comes starts the time anew.

    ``at_rest`` is True where the board has nothing to do yet that a restart would undo.
    """

    frame: bytes
    done: Callable[[wire.Frame], bool]
    seconds: float
    tries: int = 1
    at_rest: bool = False


@dataclass(slots=True)
class Outcome:
    """What a conversation came to."""

    hello: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def prompt_row(job: Job) -> dict[str, str]:
    """Return the job's row of table ``prompts``."""
    digest = hashlib.sha256(job.text.encode()).hexdigest()
    return {"prompt_id": job.prompt_id, "text": job.text, "sha256": digest}


class _Requests:
    """Request ids, 1 to 65535 and round again."""

    def __init__(self, last: int) -> None:
        self.last = last

    def next(self) -> int:
        self.last = self.last % 0xFFFF + 1
        return self.last


def _answers(request: int) -> Callable[[wire.Frame], bool]:
    return lambda f: f.type == wire.Type.REPLY and wire.decode_reply(f.body)[0] == request


def _is_hello(frame: wire.Frame) -> bool:
    return frame.type == wire.Type.HELLO


def _run_end(frame: wire.Frame) -> bool:
    # A board that idles has ended its run: should RUN_END be lost, its next heartbeat says so.
    return frame.type == wire.Type.RUN_END or (frame.type == wire.Type.HEARTBEAT and not frame.run)


def converse(
    jobs: Sequence[Job],
    *,
    name: str,
    idle_seconds: float = 60.0,
    advance: Callable[[int], None] | None = None,
    last_request: int = 0,
) -> Generator[Ask, wire.Frame | None, Outcome]:
    """Have a board do the jobs, one after the other.

    Parameters
    ----------
    jobs
        What to generate and to score.
    name
        The board's name, for messages.
    idle_seconds
        How long a board may say nothing in the middle of a job.
    advance
        Called with the number of windows or prompts that were finished.
    last_request
        The id before the first one. A board takes a request with the id that it answered last for a repetition, so
        two conversations with it should not begin alike.

    Raises
    ------
    DeviceError
        The board does not answer, or stopped in the middle of a job.
    """
    ids, outcome = _Requests(last_request), Outcome()
    request = ids.next()
    hello = yield Ask(wire.hello_request(request), _is_hello, HELLO_SECONDS, HELLO_TRIES, at_rest=True)
    if hello is None:
        raise DeviceError(
            f"{name} did not answer: {HELLO_TRIES} HELLO requests in {HELLO_SECONDS * HELLO_TRIES:.0f} s brought no "
            "HELLO back. Is edgeprof's firmware (or edgeprof.h with a read callback) on it, and is the baud rate right "
            "(--baud)? A board that only sends can be captured without --prompt and --eval."
        )
    outcome.hello = wire.decode_pairs(hello.body, hello.n)
    for job in jobs:
        if isinstance(job, Generation):
            yield from _generate(job, ids, outcome, name, idle_seconds)
            if advance:
                advance(1)
        else:
            yield from _score(job, ids, outcome, name, idle_seconds, advance)
    return outcome


def _generate(
    job: Generation, ids: _Requests, outcome: Outcome, name: str, idle: float
) -> Generator[Ask, wire.Frame | None, None]:
    request = ids.next()
    frame = wire.run_request(
        request, job.text, job.n_generate, label=job.prompt_id, temperature=job.temperature, seed=job.seed
    )
    reply = yield Ask(frame, _answers(request), REPLY_SECONDS, REPLY_TRIES)
    if _refused(reply, job, outcome, name):
        return
    if (yield Ask(b"", _run_end, idle)) is None:
        yield from _give_up(ids, job, name, idle)


def _score(
    job: Evaluation, ids: _Requests, outcome: Outcome, name: str, idle: float,
    advance: Callable[[int], None] | None,
) -> Generator[Ask, wire.Frame | None, None]:  # fmt: skip
    said = outcome.hello.get("n_ctx", "")
    n_ctx = int(said) if said.isascii() and said.isdigit() else 0
    if n_ctx < 2 and outcome.hello.get("fits") == "0":
        # Of a model of which a part is missing the board knows nothing: asked for the least, it says what does not fit.
        request = ids.next()
        frame = wire.score_request(request, 0, 1, [job.bos_id, *job.tokens[:1]], 0, label=job.prompt_id)
        if _refused((yield Ask(frame, _answers(request), idle, REPLY_TRIES)), job, outcome, name):
            return
    if n_ctx < 2:
        raise DeviceError(f"{name} did not say its context length (n_ctx) in HELLO, which scoring needs.")
    windows = job.windows(n_ctx)
    if not windows:
        raise DeviceError(
            f"The evaluation text {job.prompt_id!r} has {len(job.tokens)} tokens; one window of {name} needs {n_ctx}."
        )
    ended = False

    def watching(answered: Callable[[wire.Frame], bool]) -> Callable[[wire.Frame], bool]:
        def done(frame: wire.Frame) -> bool:
            nonlocal ended
            ended = ended or _run_end(frame)
            return answered(frame)

        return done

    for number, window in enumerate(windows):
        request = ids.next()
        frame = wire.score_request(
            request, number, len(windows), window, job.first_scored(n_ctx), label=job.prompt_id, logits=job.logits
        )
        reply = yield Ask(frame, watching(_answers(request)), idle, REPLY_TRIES)
        if _refused(reply, job, outcome, name):
            return
        if advance:
            advance(1)
    if not ended and (yield Ask(b"", _run_end, idle)) is None:
        yield from _give_up(ids, job, name, idle)


def _refused(reply: wire.Frame | None, job: Job, outcome: Outcome, name: str) -> bool:
    """Tell whether the board will not do a job; the reason is kept. It does not fit: that is a result."""
    if reply is None:
        raise DeviceError(f"{name} did not answer the request for {job.prompt_id!r} ({REPLY_TRIES} tries).")
    _, code, text = wire.decode_reply(reply.body)
    if code == 0:
        return False
    if code != DOES_NOT_FIT:
        outcome.refused.append(f"{name} refused {job.prompt_id!r}: {text or f'code {code}'}")
    return True


def _give_up(ids: _Requests, job: Job, name: str, idle: float) -> Generator[Ask, wire.Frame | None, None]:
    request = ids.next()
    yield Ask(wire.stop_request(request), _answers(request), 1.0)
    raise DeviceError(f"{name} said nothing for {idle:g} s in the middle of {job.prompt_id!r}; what came is kept.")
