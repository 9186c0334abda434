"""What a capture that goes on was asked for, held against what is asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprof.errors import StorageError
from edgeprof.seal import load_capture

__all__ = ["differences"]


def differences(capture: Path, asked: Mapping[str, Any]) -> str:
    """Return in what a capture is another one than is asked for, in words; empty if in nothing that is known.

    Parameters
    ----------
    capture
        The capture's folder.
    asked
        Options of ``edgeprof capture``. Compared are the texts (``prompt``, ``prompts``, ``eval``) and the model, each
        where it is asked for: who names nothing takes what goes on.

    Raises
    ------
    EdgeprofError
        A file that is named cannot be read.
    """
    header = load_capture(capture)
    said = []
    wanted = _texts(asked)
    going_on = [str(prompt.get("text")) for prompt in header.get("prompts", [])]
    if wanted and sorted(wanted) != sorted(going_on):
        said.append(f"other prompts ({len(going_on)}, {_begin(going_on)}; not {len(wanted)}, {_begin(wanted)})")
    if asked.get("model") is not None:
        from edgeprof.modelfile import read_model_info

        info = read_model_info(Path(asked["model"]))
        facts = [port.get("facts", {}) for port in header["ports"]]
        if other := next((f for f in facts if f.get("model_sha256") != info.sha256), None):
            said.append(f"another model ({other.get('model')} {other.get('quant')}; not {info.name} {info.quant})")
    return " and ".join(said)


def _texts(asked: Mapping[str, Any]) -> list[str]:
    from edgeprof.sweep import load_prompts

    prompt = asked.get("prompt") or ()
    texts = [prompt] if isinstance(prompt, str) else [str(text) for text in prompt]
    if asked.get("prompts") is not None:
        texts += [text for _, text in load_prompts(Path(asked["prompts"]))]
    if asked.get("eval") is not None:
        try:
            texts.append(Path(asked["eval"]).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"The evaluation text {asked['eval']} cannot be read: {error}.") from error
    return texts


def _begin(texts: list[str]) -> str:
    return repr(texts[0][:40]) if texts else "none"
