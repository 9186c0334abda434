"""The reader keeps up: ratios to other ways of reading in the same run, and limits on lines that are paced."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capture_load

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only on Linux: /proc says what a process took"
)


@pytest.mark.performance
def test_a_full_line_is_journalled_at_a_few_times_what_it_costs_to_read_it(tmp_path: Path) -> None:
    # By CPU time. By the clock, sender, reader and writer share what cores there are: on two, that is what is measured.
    figures = capture_load.full_line(tmp_path)
    assert figures["journal_over_os_read_of_cpu"] >= 0.25, figures
    assert figures["journal_over_readline_of_cpu"] >= 300, figures


def sixty_four_lines(folder: Path, seconds: float) -> None:
    tried = []
    # Another machine of the same host takes a core's time, and a pty holds 40 ms of such a line.
    for number in range(3):
        figures = capture_load.many_lines(folder / str(number), seconds)
        tried.append(figures)
        assert figures["bytes_sent"] > 64 * 90_000 * 0.95 * seconds
        assert figures["bytes_not_in_the_journal"] == 0, figures
        if not figures["bytes_the_line_did_not_take"] and figures["reader_over_bare_loop"] < 0.75:
            return
    raise AssertionError(tried)


def sixteen_power_streams(folder: Path, seconds: float) -> None:
    tried = []
    # A pty holds 60 ms of such a stream, and what moves bytes inside of it is the kernel's: on two cores that are both
    # busy that is now and then too late, whoever reads.
    for number in range(3):
        figures = capture_load.power_lines(folder / str(number), seconds)
        tried.append(figures)
        assert figures["samples_sent"] > 16 * 100_000 * 0.95 * seconds
        assert figures["segments"] >= 3
        # What the line took is in the data set, always; but for the frames that a loss cut in two.
        lost = figures["bytes_the_line_did_not_take"]
        missing = figures["samples_sent"] - figures["samples_in_the_data_set"]
        assert missing <= (lost // 528 + 2 * 16 * 10) * 250 if lost else missing == 0, figures
        if not lost:
            return
    raise AssertionError(tried)


@pytest.mark.performance
def test_sixty_four_lines_at_921600_baud(tmp_path: Path) -> None:
    sixty_four_lines(tmp_path, 10.0)


@pytest.mark.performance
def test_sixteen_power_streams_beside_a_busy_kernel(tmp_path: Path) -> None:
    sixteen_power_streams(tmp_path, 10.0)


@pytest.mark.nightly
@pytest.mark.alone
def test_a_minute_of_each(tmp_path: Path) -> None:
    sixty_four_lines(tmp_path / "lines", 60.0)
    sixteen_power_streams(tmp_path / "power", 60.0)
