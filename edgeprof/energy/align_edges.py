"""A board's edges on a meter's time: two sequences of moments, matched by the intervals between them.

Both clocks are nearly right (within 200 ppm), where one begins on the other is unknown, and either sequence has edges
that the other has not. Pairs of near edges whose interval is the same on both sides vote for where the board's edges
lie; what got the most votes is followed from there to both ends of the run, and judged by
:mod:`edgeprof.energy.align_lines`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgeprof.energy.align_lines import FEWEST, EdgeFit, inliers, judged, nearest, pairs_near
from edgeprof.errors import NotComparableError, UsageError

__all__ = ["MOST_PPM", "match_edges"]

MOST_PPM = 200.0
"""Two crystals differ by less, and a clock that is off by more does not tick as it says."""
ALIKE_SHARE = 0.75
JITTER_NS = 20_000.0
"""What an interrupt between the edge and the look at the counter may take."""
BOUNCE_NS = 1e6
_WINDOWS = (0.5, 0.15, 0.85)
_ANCHORS, _NEXT, _FOLLOWED = 6, 3, 24
_MOST_FOLLOWED = 300
"""Places that got half of the votes are all followed, up to so many: beyond, the passes cannot be told apart."""
_WIDE = (0.4, 2.6)

Float = npt.NDArray[np.float64]
Others = Callable[[], tuple[Float, float]]


def match_edges(
    board_ns: Float, meter_ns: Float, resolution_ns: float, *, about: tuple[float, float] | None = None,
    others: Others | None = None,
) -> EdgeFit:  # fmt: skip
    """Find where a run's edges lie in a meter's.

    Parameters
    ----------
    board_ns
        When the board says that it toggled the pin, in nanoseconds of its nominal clock, shape (n,), increasing.
    meter_ns
        When the meter saw the pin change, in nanoseconds of its clock, shape (m,), increasing: the time of the first
        sample that shows it.
    resolution_ns
        From sample to sample of the meter: the edge lies in the one before.
    about
        Between which of the meter's times the board's 0 lies, where that is known; asked only where several places fit
        alike, for a wall clock may be wrong.
    others
        Asked only where that leaves several, too: returns edges of the board's other runs, on this run's axis, and how
        wrong that axis may be, in nanoseconds.

    Raises
    ------
    NotComparableError
        Too few edges match, or several places fit alike.
    UsageError
        They match with another rate: one of the clocks does not tick as it says.
    """
    tolerance = 2 * resolution_ns + JITTER_NS
    bounce = min(BOUNCE_NS, float(np.quantile(np.diff(board_ns), 0.1)) / 4) if len(board_ns) > 1 else BOUNCE_NS
    board, meter = _first_of_bounces(board_ns, bounce), _first_of_bounces(meter_ns, bounce)
    if min(len(board), len(meter)) < FEWEST:
        raise NotComparableError(
            f"The board says {len(board)} edges and the meter saw {len(meter)}; {FEWEST} are needed on both sides. Is "
            "the pin wired to the meter's input, and were the digital channels exported?"
        )
    rates = (1 - MOST_PPM / 1e6, 1 + MOST_PPM / 1e6)
    found, whole = _candidates(board, meter, resolution_ns, tolerance, rates)
    if not whole and about is not None:
        found, whole = _candidates(board, meter, resolution_ns, tolerance, rates, about=about)
    if not found:
        _refuse_rate(board, meter, resolution_ns, tolerance)
        raise NotComparableError(
            f"The intervals between the board's {len(board)} edges are found nowhere among the meter's {len(meter)}. "
            "Is it the file of this run, and the pin that ep_edge() toggles?"
        )
    best = found[0]
    floor = max(best.rms_ns, resolution_ns / np.sqrt(12))
    alike = [fit for fit in found if fit.matched >= ALIKE_SHARE * best.matched and fit.rms_ns <= 3 * floor]
    if about is not None and len(alike) > 1:
        alike = [fit for fit in alike if about[0] <= fit.begin_ns <= about[1]] or alike
    if not whole:
        raise _refused(alike)
    return alike[0] if len(alike) == 1 else _by_others(alike, meter, others)


def _refuse_rate(board: Float, meter: Float, resolution_ns: float, tolerance: float) -> None:
    """Raise if the edges match at another rate than the one that both clocks claim."""
    found, _ = _candidates(board[:2000], meter[:20_000], resolution_ns, tolerance, _WIDE, most=_FOLLOWED)
    if not found or abs(found[0].rate - 1) * 1e6 <= MOST_PPM:
        return
    ratio = found[0].rate
    raise UsageError(
        f"The meter's time runs {ratio:.4g} times as fast as the board's: {found[0].matched} of {found[0].seen} "
        f"edges match so, and none as the two clocks claim (within {MOST_PPM:.0f} ppm). Either the meter's sample rate "
        "is not the one that its file says, or the board's tick_hz is wrong; energy would be off by as much. Correct "
        "what is wrong and import it again."
    )


def _by_others(alike: list[EdgeFit], meter: Float, others: Others | None) -> EdgeFit:
    """Return that one of several places where the board's other runs fit, too."""
    edges, error_ns = others() if others else (np.zeros(0), 0.0)
    if not len(edges):
        raise _refused(alike)
    seen = [_seen(fit.begin_ns + fit.rate * edges, meter, error_ns) for fit in alike]
    order = np.argsort(seen)[::-1]
    if seen[order[0]] - seen[order[1]] < max(2, 0.1 * len(edges)):
        raise _refused(alike)
    return alike[int(order[0])]


def _refused(alike: list[EdgeFit]) -> NotComparableError:
    where = ", ".join(f"{fit.begin_ns / 1e9:.6f} s" for fit in alike[:4])
    return NotComparableError(
        f"The run's edges fit the meter's nearly alike with its begin at {where}{' and more' * (len(alike) != 2)}: "
        "passes of the same time cannot be told from each other. Toggle the pin at an odd moment, too: ep_edge()."
    )


def _seen(expected: Float, meter: Float, error_ns: float) -> int:
    """Return how many expected moments have an edge near."""
    return int((np.abs(meter[nearest(meter, expected)] - expected) <= error_ns).sum())


def _first_of_bounces(edges: Float, bounce_ns: float) -> Float:
    """Return edges without those that follow another one too soon: a contact that bounces, or ringing."""
    return edges[np.concatenate(([True], np.diff(edges) > bounce_ns))] if len(edges) else edges


def _candidates(
    board: Float, meter: Float, resolution_ns: float, tolerance: float, rates: tuple[float, float], *,
    most: int = _MOST_FOLLOWED, about: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[list[EdgeFit], bool]:  # fmt: skip
    """Return the places where the edges match better than by chance, the best first.

    And whether around one of the windows' edges all places were tried that got votes.
    """
    found: list[EdgeFit] = []
    whole = False
    centre = float(board[len(board) // 2])
    for at in _WINDOWS:
        middle = int(at * (len(board) - 1))
        votes = _votes(board, meter, middle, tolerance, rates, about)
        whole |= len(votes) <= most
        for place, rate, spread in votes[:most]:
            fit = _followed(board, meter, middle, (place, rate, spread), resolution_ns, tolerance, rates)
            if fit and all(abs(_at(fit, centre) - _at(other, centre)) > 2 * tolerance for other in found):
                found.append(fit)
    return sorted(found, key=lambda fit: (-fit.matched, fit.rms_ns)), whole


def _at(fit: EdgeFit, board_ns: float) -> float:
    return fit.begin_ns + fit.rate * board_ns


def _votes(
    board: Float, meter: Float, middle: int, tolerance: float, rates: tuple[float, float], about: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return where the board's edge ``middle`` may be on the meter, at which rate, and how wrong that rate may be.

    Each pair of near edges that is as long on both sides is a vote. What got most comes first; what got less than half
    of that is left out behind the first few.
    """
    places, speeds, spreads = [], [], []
    anchors = range(max(middle - _ANCHORS // 2, 0), min(middle + _ANCHORS // 2 + 1, len(board)))
    for skip in range(1, _NEXT + 1):
        lengths = meter[skip:] - meter[:-skip]
        order = np.argsort(lengths, kind="stable")
        for i in anchors:
            for length in board[i + 1 : i + 1 + _NEXT] - board[i]:
                low = np.searchsorted(lengths[order], length * rates[0] - tolerance)
                high = np.searchsorted(lengths[order], length * rates[1] + tolerance)
                j = order[low:high]
                speed = np.clip(lengths[j] / length, *rates)
                places.append(meter[j] + speed * (board[middle] - board[i]))
                speeds.append(speed)
                spreads.append(np.full(len(j), min((rates[1] - rates[0]) / 2, 2 * tolerance / length)))
    place, speed, spread = (np.concatenate(part) for part in (places, speeds, spreads))
    begin = place - speed * board[middle]
    here = (begin >= about[0]) & (begin <= about[1])
    place, speed, spread = place[here], speed[here], spread[here]
    if not len(place):
        return []
    width = 4 * tolerance
    cells = np.round(place / width).astype(np.int64) * 256 + np.round(speed * 50).astype(np.int64)
    _, first, counts = np.unique(cells, return_index=True, return_counts=True)
    followed = max(_FOLLOWED, int((2 * counts >= counts.max()).sum()))
    best = first[np.argsort(counts, kind="stable")[::-1][:followed]]
    return [(float(place[k]), float(speed[k]), float(spread[k])) for k in best]


def _followed(
    board: Float, meter: Float, middle: int, start: tuple[float, float, float], resolution_ns: float, tolerance: float,
    rates: tuple[float, float],
) -> EdgeFit | None:  # fmt: skip
    """Follow a vote from its edge to both ends of the run, knowing the rate better and better."""
    place, rate, spread = start
    x = board - board[middle]
    half = 4
    while True:
        near = slice(max(middle - half, 0), middle + half + 1)
        expected = place + rate * x[near]
        pairs, off = pairs_near(meter, expected, tolerance + spread * np.abs(x[near]))
        if len(pairs) < 3:
            return None
        px, py = x[near][pairs], off[pairs]
        kept = inliers(px, py, resolution_ns)
        slope, intercept = np.polyfit(px[kept], py[kept], 1)
        place, rate = place + float(intercept), float(np.clip(rate + slope, *rates))
        spread = min(spread, 2 * tolerance / max(float(np.ptp(px[kept])), 1.0))
        if half >= len(board):
            break
        half *= 2
    return judged(board, meter, place - rate * float(board[middle]), rate, resolution_ns, tolerance)
