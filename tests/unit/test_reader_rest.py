"""How long the reader rests between rounds."""

from edgeprof.reader import LONG_REST_SECONDS, REST_SECONDS, rest_after


def test_few_reads_or_large_ones_ask_for_no_rest() -> None:
    assert rest_after(0.0, 2_900, 50) == 0
    assert rest_after(0.0, 50_000, 4_096) == 0
    assert rest_after(REST_SECONDS, 1_000, 50) == 0
    assert rest_after(LONG_REST_SECONDS, 4_000, 2_100) == 0


def test_a_rest_stays_while_it_is_what_keeps_reads_few() -> None:
    assert rest_after(0.0, 20_000, 50) == REST_SECONDS
    assert rest_after(REST_SECONDS, 2_000, 300) == REST_SECONDS
    assert rest_after(LONG_REST_SECONDS, 2_000, 1_100) == LONG_REST_SECONDS


def test_it_is_longer_only_where_a_short_one_was_not_enough() -> None:
    assert rest_after(REST_SECONDS, 8_000, 700) == LONG_REST_SECONDS
    assert rest_after(0.0, 8_000, 700) == REST_SECONDS
