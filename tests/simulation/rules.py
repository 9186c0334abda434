"""Rules by which a benchmark is called slower, on many data sets at once: ours, and what is used elsewhere.

Each takes logs of run values ``base`` and ``candidate``, shapes (sets, n), and returns an array of words.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from edgeprof.intervals import gate_limits, welch_limits
from edgeprof.verdicts import alpha_of_looks

SAME, WORSE, BETTER, UNKNOWN = 0, 1, -1, 9


def decide(limits, smallest):
    """Return what ``edgeprof.verdicts.judge`` says of each set: the same rule, on arrays (a test compares them)."""
    limit = np.log1p(smallest)
    _, low, high, narrow_low, narrow_high = limits
    words = np.where((-limit <= narrow_low) & (narrow_high <= limit), SAME, UNKNOWN)
    return np.where(low > limit, WORSE, np.where(high < -limit, BETTER, words))


def paired(base, candidate, smallest=0.02, looks=1):
    return decide(gate_limits(candidate - base, alpha_of_looks(looks)), smallest)


def unpaired(base, candidate, smallest=0.02, looks=1, **session):
    return decide(welch_limits(base, candidate, alpha_of_looks(looks), **session), smallest)


def threshold(base, candidate, size):
    """A fixed threshold on the ratio of means, as continuous benchmarking services apply it."""
    change = np.exp(candidate).mean(-1) / np.exp(base).mean(-1) - 1
    return np.where(change > size, WORSE, np.where(change < -size, BETTER, SAME))


def pyperf(base, candidate):
    """pyperf's test, from its formula: Student's t of two samples with a pooled variance, two-sided 95 %."""
    test = stats.ttest_ind(np.exp(candidate), np.exp(base), axis=-1)
    return np.where(test.pvalue < 0.05, np.where(test.statistic > 0, WORSE, BETTER), SAME)


def mann_whitney(base, candidate):
    """Mann-Whitney alone, two-sided 5 %, by the normal approximation."""
    n, m = base.shape[-1], candidate.shape[-1]
    ranks = stats.rankdata(np.concatenate((base, candidate), axis=-1), axis=-1)
    u = ranks[..., n:].sum(-1) - m * (m + 1) / 2
    above = n * m / 2
    z = (np.abs(u - above) - 0.5) / np.sqrt(n * m * (n + m + 1) / 12)
    return np.where(z > stats.norm.ppf(0.975), np.where(u > above, WORSE, BETTER), SAME)
