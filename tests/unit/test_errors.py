"""The exceptions: what the command line ends with, and the closest name."""

from __future__ import annotations

import pytest

from edgeprof import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 3), (errors.ModelError, 3), (errors.DeviceError, 4), (errors.StorageError, 5),
        (errors.NewerFormatError, 5), (errors.LockedError, 5), (errors.NotComparableError, 2), (errors.ReportError, 3),
    ],
)  # fmt: skip
def test_exit_codes(kind: type[errors.EdgeprofError], code: int) -> None:
    assert issubclass(kind, errors.EdgeprofError)
    assert kind("x").exit_code == code
    assert str(kind("what was wanted")) == "what was wanted"


def test_every_error_is_listed() -> None:
    found = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.EdgeprofError)}
    assert found <= set(errors.__all__)


def test_the_closest_name() -> None:
    error = errors.unknown_name("table", "token", ["tokens", "runs"], "See the docs.")
    assert str(error) == "There is no table 'token'. Did you mean 'tokens'? Known: runs, tokens. See the docs."
    assert "Did you mean" not in str(errors.unknown_name("table", "zzz", ["tokens"]))
    assert str(errors.unknown_name("board", "x", [])).endswith("Known: none.")
