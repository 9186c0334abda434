"""JLS files that pyjls itself wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprof.errors import UsageError
from edgeprof.meters.file import MeterOptions
from edgeprof.meters.read import format_of, read_meter

RNG = np.random.default_rng(8)
N = 3000
AMPERES = RNG.normal(0.02, 0.001, N).astype(np.float32)
VOLTS = RNG.normal(3.3, 0.001, N).astype(np.float32)
HIGH = (np.arange(2 * N) // 1000) % 2
BEGAN = "2026-01-01T00:00:00Z"


@pytest.fixture
def pyjls():
    return pytest.importorskip("pyjls", reason="needs pyjls (pip install 'edgeprof[joulescope]')")


def write(pyjls, path: Path, *, utc: float = 0.0, voltage_rate: int = 1000, sources: int = 1, hole: int = 0) -> bytes:
    """Return a JLS file; ``utc``: with the host's clock, which runs so many times as fast."""
    f32, u1, fsr = pyjls.DataType.F32, pyjls.DataType.U1, pyjls.SignalType.FSR
    with pyjls.Writer(str(path)) as writer:
        for source in range(1, sources + 1):
            writer.source_def(
                source, name=f"JS220-{source}", vendor="none", model="synthetic", version="1", serial_number="1"
            )
            at = 10 * source
            writer.signal_def(at, source, signal_type=fsr, data_type=f32, sample_rate=1000, name="current", units="A")
            writer.signal_def(
                at + 1, source, signal_type=fsr, data_type=f32, sample_rate=voltage_rate, name="voltage", units="V"
            )
            writer.signal_def(at + 2, source, signal_type=fsr, data_type=u1, sample_rate=2000, name="gpi[0]", units="")
            writer.fsr_f32(at, 0, AMPERES[:1000])
            writer.fsr_f32(at, 1000 + hole, AMPERES[1000 + hole :])
            writer.fsr_f32(at + 1, 0, VOLTS[: N * voltage_rate // 1000])
            writer.fsr(at + 2, 0, np.packbits(HIGH.astype(np.uint8), bitorder="little"))
            if utc:
                first = pyjls.time64.as_time64(BEGAN)
                for signal, last in ((at, N - 1), (at + 1, N - 1), (at + 2, 2 * N - 2)):
                    writer.utc(signal, 0, first)
                    writer.utc(signal, last, first + round((N - 1) / 1000 * utc * 2**30))
    return path.read_bytes()


def test_the_table_equals_the_arrays(pyjls, tmp_path):
    data = write(pyjls, tmp_path / "a.jls", utc=1.0)
    assert format_of(data[:100]) == "jls"
    found = read_meter(data, "jls", MeterOptions())
    np.testing.assert_array_equal(found.samples.current_ua, AMPERES.astype(np.float64) * 1e6)
    np.testing.assert_array_equal(found.samples.voltage_mv, VOLTS.astype(np.float64) * 1e3)
    assert (found.rate_hz, found.samples.period_ns, found.samples.meter) == (1000.0, 1e6, "joulescope")
    assert found.started_at == "2026-01-01T00:00:00.000000000+00:00"
    assert found.edges.at_ns.tolist() == [500_000_000 * n for n in range(1, 6)]
    assert found.edges.detail.tolist()[:2] == ["GPI0 rising", "GPI0 falling"]
    assert found.findings == ()


def test_missing_samples_are_missing(pyjls, tmp_path):
    found = read_meter(write(pyjls, tmp_path / "a.jls", hole=120), "jls", MeterOptions())
    current = found.samples.current_ua
    assert np.flatnonzero(np.isnan(current)).tolist() == list(range(1000, 1120))
    np.testing.assert_array_equal(current[1120:], AMPERES[1120:].astype(np.float64) * 1e6)
    assert [f.text for f in found.findings] == ["missing samples: 120 of 3,000 (4 %)"]
    assert found.started_at is None


def test_a_rate_that_the_host_s_clock_denies_is_refused(pyjls, tmp_path):
    found = read_meter(write(pyjls, tmp_path / "a.jls", utc=1.33), "jls", MeterOptions())
    assert [(f.kind, f.fatal) for f in found.findings] == [("rate", True)]
    near = read_meter(write(pyjls, tmp_path / "b.jls", utc=1.01), "jls", MeterOptions())
    assert [(f.kind, f.fatal) for f in near.findings] == [("rate", False)]


def test_a_voltage_of_another_rate_holds_until_the_next(pyjls, tmp_path):
    found = read_meter(write(pyjls, tmp_path / "a.jls", voltage_rate=500), "jls", MeterOptions())
    np.testing.assert_array_equal(found.samples.voltage_mv, np.repeat(VOLTS[:1500].astype(np.float64) * 1e3, 2))
    with pytest.raises(UsageError, match="whole ratio"):
        read_meter(write(pyjls, tmp_path / "b.jls", voltage_rate=300), "jls", MeterOptions())


def test_of_two_meters_one_must_be_said(pyjls, tmp_path):
    data = write(pyjls, tmp_path / "a.jls", sources=2)
    with pytest.raises(UsageError, match=r"JS220-1\.current, JS220-2\.current"):
        read_meter(data, "jls", MeterOptions())
    found = read_meter(data, "jls", MeterOptions(columns="current=JS220-2.current:A,voltage=JS220-2.voltage:V"))
    assert len(found.samples) == N


def test_what_cannot_be_read_is_refused(pyjls, tmp_path):
    data = write(pyjls, tmp_path / "a.jls")
    with pytest.raises(UsageError, match="pyjls cannot read it"):
        read_meter(data[:20] + bytes(200), "jls", MeterOptions())
    with pytest.raises(UsageError, match="version 1"):
        read_meter(b"\xd3tagfmt \r\n \n  \x1a\x1c" + bytes(100), "jls", MeterOptions())


def test_without_pyjls_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyjls", None)
    with pytest.raises(UsageError, match=r"pip install 'edgeprof\[joulescope\]'"):
        read_meter(b"jlsfmt\r\n \n \x1a  \xb2\x1c", "jls", MeterOptions())
