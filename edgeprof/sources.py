"""From what a user names (a board, a port, a URL) to what a capture takes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprof import boards, firmware
from edgeprof.capture import CaptureResult, Source, capture
from edgeprof.driver import Evaluation, Job
from edgeprof.errors import ModelError, StorageError, UsageError
from edgeprof.sections import image_facts
from edgeprof.transports import PortSettings, is_device, redact

__all__ = ["capture_boards", "evaluation", "model_facts", "open_sources"]


def model_facts(model: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return what a model file says of every run made with it, and its vocabulary by digest."""
    from edgeprof.modelfile import read_model_info, read_vocab

    info = read_model_info(model)
    facts = {"model_sha256": info.sha256, "bits_per_weight": info.bits_per_weight}
    # What the board says of its model counts; these are for one that cannot read it, or does not say.
    facts |= {"model": info.name, "arch": info.arch, "quant": info.quant, "model_bytes": info.model_bytes}
    return facts, {info.sha256: read_vocab(model)}


def evaluation(
    text_file: Path, model: Path, *, max_windows: int = 0, probe: int = 0, logits: bool = False
) -> Evaluation:
    """Return the job of scoring a text file, tokenized with the model's own tokenizer.

    Parameters
    ----------
    text_file, model
        The text, and the GGUF whose tokenizer it is cut with.
    max_windows
        At most so many windows; 0 is all of them.
    probe
        If not 0: only so many tokens of its beginning, to be held against another board's.
    logits
        Have the board send the logits of scored positions, too.
    """
    from edgeprof.modelfile import read_model_info, read_vocab
    from edgeprof.tokenizer import encode

    try:
        text = text_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"The evaluation text {text_file} cannot be read: {error}.") from error
    info = read_model_info(model)
    tokens = encode(model, text)
    if info.bos_id is None:
        raise ModelError(f"{model} has no BOS token, which the perplexity protocol begins every window with.")
    if tokens[:1] == [info.bos_id]:
        tokens = tokens[1:]
    if probe:
        pieces = read_vocab(model)
        start = "".join(pieces[t] for t in tokens[:probe]).replace("\u2581", " ").strip()
        return Evaluation(f"{text_file.stem}-first-{probe}", start, tokens[:probe], info.bos_id, probe=probe)
    return Evaluation(text_file.stem, text, tokens, info.bos_id, max_windows, logits=logits)


def _own_sections(board: str, running: str | None) -> dict[str, dict[str, list[Any]]]:
    """Return the parts of an emulated board's own image, by its digest; nothing if another one is running."""
    own = firmware.image(board)
    if running is None or not own.is_file():
        return {}
    digest, parts = image_facts(own)
    return {digest: parts} if digest == running else {}


def _refuse_twice(urls: Sequence[str]) -> None:
    """Refuse a port that is named twice, by whatever names."""
    real = [os.path.realpath(url) if is_device(url) and url not in boards.names() else None for url in urls]
    for number, path in enumerate(real):
        if path is not None and path in real[:number]:
            raise UsageError(f"{urls[real.index(path)]} and {urls[number]} are the same port: name it once.")


def _check(url: str) -> None:
    """Refuse what is wrong with a URL before a capture is begun."""
    if url.startswith(("mqtt://", "mqtts://")):
        from edgeprof.mqtt_address import parse
        from edgeprof.mqtt_client import paho_client

        parse(url)
        paho_client()
    elif url.startswith("replay:"):
        from edgeprof.replay import open_replay

        open_replay(url).close()


@contextlib.contextmanager
def open_sources(
    urls: Sequence[str],
    model: Path | None,
    *,
    image: Path | None = None,
    settings: PortSettings | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[list[Source]]:
    """Start the emulated boards among ``urls`` and stop them at the end.

    Parameters
    ----------
    urls
        Names of boards, device paths or pyserial URLs.
    model
        The GGUF that emulated boards run, and that says how a real board's tokens are spelled.
    image
        The firmware image that real boards were flashed with, and that emulated boards run instead of the prebuilt one;
        its parts are kept.
    settings
        Port settings of real boards.
    tags
        Facts of the user's, stored with every run.

    Raises
    ------
    UsageError
        A name that is neither a board nor a port, an emulated board with neither a model nor an image of the user's, or
        a file that is no firmware image.
    """
    facts, vocab = model_facts(model) if model else ({}, {})
    sections = {}
    if image:
        digest, parts = image_facts(image)
        facts, sections = facts | {"firmware_sha256": digest}, {digest: parts}
    with contextlib.ExitStack() as stack:
        sources = []
        _refuse_twice(urls)
        for url in urls:
            _check(url)
            source = Source(url, redact(url), settings or PortSettings(), dict(facts), vocab, sections)
            if url in boards.names():
                if model is None and image is None:
                    raise UsageError(
                        f"Board {url!r} is emulated and needs a model to run: --model FILE.gguf "
                        "(`edgeprof demo` uses the one that comes with edgeprof)."
                    )
                running = stack.enter_context(boards.start(url, model, image=image))
                source = replace(
                    source, url=running.url, name=url, facts=facts | running.facts, opened=running.go,
                    last_words=running.last_words, emulated=True,
                    sections=sections or _own_sections(url, running.facts.get("firmware_sha256")),
                )  # fmt: skip
            elif is_device(url) and "/" not in url and "\\" not in url and not url.upper().startswith("COM"):
                # Neither a path nor a URL: meant as a board's name.
                try:
                    boards.get(url)
                except UsageError as error:
                    raise UsageError(
                        f"{error} A serial port is given by its path (/dev/{url}, COM3), a recording as replay:FILE."
                    ) from error
            sources.append(replace(source, facts=source.facts | {"tags": dict(tags or {})}))
        yield sources


def capture_boards(
    urls: Sequence[str],
    out: Path,
    jobs: Sequence[Job] = (),
    *,
    model: Path | None = None,
    image: Path | None = None,
    settings: PortSettings | None = None,
    tags: Mapping[str, str] | None = None,
    **options: Any,
) -> CaptureResult:
    """Start what is emulated among ``urls``, capture all of them until the jobs are done, and stop them.

    Parameters
    ----------
    urls, model, image, settings, tags
        As of :func:`open_sources`.
    out, jobs, options
        As of :func:`edgeprof.capture.capture`.
    """
    with open_sources(urls, model, image=image, settings=settings, tags=tags) as sources:
        return capture(sources, out, jobs, **options)
