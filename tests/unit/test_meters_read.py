"""Meters' files of every documented shape: what is read equals the arrays that they were made of."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from meter_files import lines

from edgeprof.errors import UsageError
from edgeprof.meters.columns import parse_columns
from edgeprof.meters.file import MeterFile, MeterOptions
from edgeprof.meters.read import FORMATS, format_of, read_meter

SUPPLY = MeterOptions(voltage_mv=3300.0)
RNG = np.random.default_rng(8)
UA = np.round(RNG.normal(5000, 300, 400), 3)
MV = np.round(RNG.normal(3300, 2, 400), 3)
D1 = (np.arange(400) // 50) % 2  # low for 50 samples, then high for 50
EDGES = [(n * 500_000, f"D1 {'rising' if n % 2 else 'falling'}") for n in range(1, 8)]


def edges(found: MeterFile) -> list[tuple[int, str]]:
    return list(zip(found.edges.at_ns.tolist(), found.edges.detail.tolist(), strict=True))


MS = [str(k / 100) for k in range(400)]
BITS = [f"-{bit}------" for bit in D1]
BIT = [["-", str(bit), *"------"] for bit in D1]
SPLIT = [[row[i] for row in BIT] for i in range(8)]
NAMES = "D0,D1,D2,D3,D4,D5,D6,D7"


@pytest.mark.parametrize(
    ("data", "timed", "lined"),
    [
        (lines("Timestamp(ms),Current(uA)", MS, UA), True, False),
        (lines("Current(uA)", UA), False, False),
        (lines("Timestamp(ms),Current(uA),D0-D7", MS, UA, BITS), True, True),
        (lines(f"Timestamp(ms),Current(uA),{NAMES}", MS, UA, *SPLIT), True, True),
        (lines(f"Timestamp(ms),Current(uA),D0-D7,{NAMES}", MS, UA, BITS, *SPLIT), True, True),
        (lines("Current(uA),D0-D7", UA, BITS), False, True),
        (lines("Timestamp(ms),Current(uA),Bits", MS, UA, [f"000000{bit}0" for bit in D1]), True, True),
        (b"\xef\xbb\xbf" + lines("Timestamp(ms),Current(uA)", MS, UA).replace(b"\n", b"\r\n"), True, False),
        # As the app exports samples without digital channels, where these were chosen all the same.
        (lines(f"Timestamp(ms),Current(uA),D0-D7,{NAMES}", MS, UA, [","] * 400), True, False),
    ],
    ids=["plain", "current", "joined", "split", "both", "untimed", "old", "windows", "no-digital"],
)
def test_ppk2_csv(data, timed, lined):
    assert format_of(data[:200]) == "ppk2-csv"
    found = read_meter(data, "ppk2-csv", MeterOptions(3300.0, None if timed else 100_000.0))
    assert found.samples.current_ua.tolist() == UA.tolist()
    assert (found.samples.period_ns, found.samples.meter, found.rate_hz) == (10_000.0, "ppk2", 100_000.0)
    assert found.method == ("time stamps" if timed else "rate given")
    assert edges(found) == (EDGES if lined else [])
    assert found.findings == ()


def test_ppk2_csv_begins_wherever_the_window_did():
    found = read_meter(
        lines("Timestamp(ms),Current(uA)", [f"{712.34 + k / 100:.2f}" for k in range(400)], UA), "ppk2-csv", SUPPLY
    )
    assert (found.samples.start_ns, found.samples.period_ns, found.samples.t_ns) == (0.0, 10_000.0, None)


def archive(ua: np.ndarray, bits: np.ndarray, version: int = 2, **meta: object) -> bytes:
    frames = np.zeros(len(ua), [("ua", "<f4"), ("bits", ">u2")])
    frames["ua"], frames["bits"] = ua, bits
    said = {
        "metadata": {"samplesPerSecond": 100_000, "startSystemTime": 1_767_225_600_000} | meta,
        "formatVersion": version,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("session.raw", frames.tobytes())
        file.writestr("minimap.raw", b"{}")
        file.writestr("metadata.json", json.dumps(said))
    return out.getvalue()


def test_ppk2_archive():
    ua = UA.astype(np.float32)
    ua[7] = np.nan
    bits = np.where(D1 == 1, 0b01_01_01_01_01_01_10_01, 0b01_01_01_01_01_01_01_01)
    data = archive(ua, bits)
    assert format_of(data[:100]) == "ppk2"
    found = read_meter(data, "ppk2", SUPPLY)
    np.testing.assert_array_equal(found.samples.current_ua, ua.astype(np.float64))
    assert edges(found) == EDGES
    assert (found.rate_hz, found.method) == (100_000.0, "rate in the file")
    assert found.started_at == "2026-01-01T00:00:00.000000000+00:00"
    assert [(f.kind, f.fatal) for f in found.findings] == [("missing", False)]


def test_a_sample_that_was_both_has_the_edge_or_a_pulse():
    word = {"0": 0b01, "1": 0b10, "X": 0b11, "-": 0b00}
    found = read_meter(archive(UA[:9], np.array([word[c] for c in "00X1100X0"])), "ppk2", SUPPLY)
    assert edges(found) == [
        (20_000, "D0 rising"), (50_000, "D0 falling"), (70_000, "D0 rising"), (70_000, "D0 falling"),
    ]  # fmt: skip
    assert [f.kind for f in found.findings] == ["pulse"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[: len(d) // 2], "no whole .ppk2"),
        (lambda d: archive(UA, D1, samplesPerSecond=None), "--rate-hz"),
        (lambda d: archive(UA[:0], D1[:0]), "holds no sample"),
        (lambda d: archive(UA, D1, version=3), "format version is 3, and 2 is known"),
    ],
    ids=["cut", "no-rate", "empty", "later-version"],
)
def test_an_archive_that_is_not_whole_is_refused(change, said):
    with pytest.raises(UsageError, match=said):
        read_meter(change(archive(UA, D1)), "ppk2", SUPPLY)


def test_an_archive_that_claims_too_much_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("edgeprof.meters.ppk2.MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="claims 2,400 bytes"):
        read_meter(archive(UA, D1), "ppk2", SUPPLY)


def test_an_archive_of_something_else_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("word/document.xml", "<a/>")
    with pytest.raises(UsageError, match=r"no metadata\.json"):
        read_meter(out.getvalue(), "ppk2", SUPPLY)


AMPERES, VOLTS = UA / 1e6, MV / 1e3
SECONDS = [f"{k / 2000:.6f}" for k in range(400)]


@pytest.mark.parametrize(
    ("data", "options", "known"),
    [
        (lines("#time,current,voltage,power,charge,energy", SECONDS, AMPERES, VOLTS, *[UA] * 3), {}, True),
        (lines("#current,voltage,power,charge,energy", AMPERES, VOLTS, *[UA] * 3), {"rate_hz": 2000.0}, True),
        (lines("# time,JS220-001122.current,JS220-001122.voltage", SECONDS, AMPERES, VOLTS), {}, True),
        (lines("# timestamp,JS220-001122.current,JS220-001122.voltage", SECONDS, AMPERES, VOLTS), {}, True),
        (lines("0.0041,3.3", AMPERES, VOLTS)[len("0.0041,3.3\n") :], {"rate_hz": 2000.0}, False),
    ],
    ids=["statistics", "statistics-untimed", "waveform", "pyjls-csv", "pyjoulescope-export"],
)
def test_joulescope_csv(data, options, known):
    assert format_of(data[:200]) == ("joulescope-csv" if known else "")
    found = read_meter(data, "joulescope-csv", MeterOptions(**options))
    assert found.samples.current_ua.tolist() == (AMPERES * 1e6).tolist()
    assert found.samples.voltage_mv.tolist() == (VOLTS * 1e3).tolist()
    assert (found.rate_hz, found.samples.meter, found.findings) == (2000.0, "joulescope", ())


def test_joulescope_export_of_one_signal_must_be_said():
    one = lines("", [f"{a:.18e}" for a in AMPERES])[1:]
    with pytest.raises(UsageError, match="current=#1:A"):
        read_meter(one, "joulescope-csv", MeterOptions(3300.0, 2000.0))
    found = read_meter(one, "joulescope-csv", MeterOptions(3300.0, 2000.0, "current=#1:A"))
    assert found.samples.current_ua.tolist() == (AMPERES * 1e6).tolist()
    timed = lines("", [f"{k / 2000:.18e}" for k in range(400)], [f"{a:.18e}" for a in AMPERES])[1:]
    with pytest.raises(UsageError, match="t=#1:s,current=#2:A"):
        read_meter(timed, "joulescope-csv", SUPPLY)
    found = read_meter(timed, "joulescope-csv", MeterOptions(3300.0, None, "t=#1:s,current=#2:A"))
    assert (found.samples.current_ua.tolist(), found.rate_hz) == ((AMPERES * 1e6).tolist(), 2000.0)


def test_joulescope_csv_has_digital_inputs_and_times_in_utc():
    when = [f"2026-01-31T12:00:{k / 100:09.6f}Z" for k in range(400)]
    data = lines("# time,JS.current,JS.voltage,JS.gpi[0]", when, AMPERES, VOLTS, D1)
    found = read_meter(data, "joulescope-csv", MeterOptions())
    assert [e for _, e in edges(found)][:2] == ["GPI0 rising", "GPI0 falling"]
    assert edges(found)[0][0] == 500_000_000
    assert found.started_at == "2026-01-31T12:00:00.000000000+00:00"


def test_joulescope_csv_of_two_meters_must_be_said():
    data = lines("# time,A.current,B.current", SECONDS, AMPERES, AMPERES)
    with pytest.raises(UsageError, match="2 columns of current"):
        read_meter(data, "joulescope-csv", SUPPLY)


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        (lines("time_s,I,U,note", SECONDS, UA / 1e3, MV, ["x"] * 400), "t=time_s:s,current=I:mA,voltage=U:mV"),
        (lines("a,b,c", UA / 1e3, MV, SECONDS), "t=#3:s,current=#1:mA,voltage=#2:mV"),
        (
            lines("t;I;U", SECONDS, UA / 1e3, MV).replace(b",", b";").replace(b".", b","),
            "t=t:s,current=I:mA,voltage=U:mV",
        ),
        (lines("t\tI\tU", SECONDS, UA / 1e3, MV).replace(b",", b"\t"), "t=t:s,current=I:mA,voltage=U:mV"),
        (lines("t,I,U", [500_000 * k for k in range(400)], UA / 1e3, MV), "t=t:ns,current=I:mA,voltage=U:mV"),
        (
            lines("t,I,U", [1_767_225_600_000_000 + 500 * k for k in range(400)], UA / 1e3, MV),
            "t=t:us,current=I:mA,voltage=U:mV",
        ),
    ],
    ids=["named", "numbered", "semicolons", "tabs", "integers", "unix"],
)
def test_a_csv_of_one_s_own(data, columns):
    found = read_meter(data, "meter-csv", MeterOptions(columns=columns, meter="ina228"))
    assert found.samples.current_ua.tolist() == (UA / 1e3 * 1e3).tolist()
    assert found.samples.voltage_mv.tolist() == MV.tolist()
    assert (found.rate_hz, found.samples.meter) == (2000.0, "ina228")


def test_an_uneven_log_keeps_its_times():
    t_us = np.cumsum(RNG.integers(700, 1900, 400))
    found = read_meter(lines("t,I", t_us, UA), "meter-csv", MeterOptions(3300.0, columns="t=t:us,current=I:uA"))
    assert found.samples.t_ns.tolist() == ((t_us - t_us[0]) * 1000).tolist()
    assert (found.rate_hz, found.samples.period_ns, found.samples.current_ua.tolist()) == (None, None, UA.tolist())


@pytest.mark.parametrize("rate", [1000.0, 1024.0, 3000.0, 100_000.0])
@pytest.mark.parametrize("decimals", [6, 9])
def test_even_stamps_are_known_however_they_were_rounded(rate, decimals):
    stamps = [f"{12.5 + k / rate:.{decimals}f}" for k in range(400)]
    found = read_meter(lines("t,I", stamps, UA), "meter-csv", MeterOptions(3300.0, columns="t=t:s,current=I:uA"))
    # First and last stamp are each off by half of the last digit, over 399 periods.
    assert found.rate_hz == pytest.approx(rate, rel=1e-12 + 10.0**-decimals * rate / 399)
    assert len(found.samples) == 400


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("", "which columns"), ("current", "ROLE=NAME:UNIT"), ("current=I:kA", "uA"), ("volt=U:V", "voltage"),
        ("t=t:s", "must name the current"), ("current=I:A,current=I:A", "twice"), ("current=J:A", "There is no column"),
        ("current=I:A,voltage=I:V", "two things"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_read(columns, said):
    with pytest.raises(UsageError, match=said):
        read_meter(b"t,I\n0,1\n1,2\n", "meter-csv", MeterOptions(3300.0, columns=columns))


def test_a_row_that_is_not_whole_is_named_with_its_line():
    data = lines("Timestamp(ms),Current(uA)", MS, UA).replace(b"1.5,", b"1.5,many", 1)
    with pytest.raises(UsageError, match="line 152"):
        read_meter(data, "ppk2-csv", SUPPLY)
    with pytest.raises(UsageError, match="line 3"):
        read_meter(b"Timestamp(ms),Current(uA)\n0,1\n1\n2,3\n", "ppk2-csv", SUPPLY)


def test_a_last_line_that_was_cut_off_is_named():
    data = lines("Timestamp(ms),Current(uA)", MS, UA)
    found = read_meter(data[:-12], "ppk2-csv", SUPPLY)
    assert len(found.samples) == 399
    assert [f.kind for f in found.findings] == ["cut off"]
    assert [f.kind for f in read_meter(data[:-2], "ppk2-csv", SUPPLY).findings] == ["cut off"]


HEADS = [
    b"", b"Timestamp(ms),Current(uA)\n", b"Current(uA),D0-D7\n", b"Timestamp(ms),Current(uA),Bits\n", b"PK\x03\x04",
    b"#time,current,voltage\n", b"# time,a.current,a.gpi[0]\n", b"t,I\n",
]  # fmt: skip
CELL = st.sampled_from(
    [
        "0",
        "1",
        "1.5",
        "-1",
        "1e300",
        "-1e308",
        "1e400",
        "nan",
        "inf",
        "",
        "x",
        '"',
        "0X-10000",
        "2026-01-01T00:00:00Z",
        "\r",
        ";",
    ]
)
ROWS = st.lists(st.lists(CELL, max_size=4).map(",".join), max_size=8).map(lambda rows: "\n".join(rows).encode())


@given(
    st.sampled_from(HEADS),
    st.one_of(st.binary(max_size=200), ROWS),
    st.sampled_from([f for f in FORMATS if f != "jls"]),
)
@example(HEADS[3], b'1e400,,\n"",,', "ppk2-csv")
@example(HEADS[3], b"1e300,,", "joulescope-csv")
def test_whatever_is_in_a_file_it_is_read_or_refused(head, rest, form):
    for options in (
        SUPPLY,
        MeterOptions(3300.0, 1000.0, "t=#1:s,current=#2:A"),
        MeterOptions(None, None, "current=I:mA,t=t:iso"),
    ):
        try:
            found = read_meter(head + rest, form, options)
        except UsageError:
            continue
        assert len(found.samples) >= 2
        assert (found.samples.period_ns is None) == (found.samples.t_ns is not None)


@given(st.text(max_size=60))
def test_columns_are_read_or_refused(text):
    try:
        found = parse_columns(text)
    except UsageError:
        return
    assert "current" in found
