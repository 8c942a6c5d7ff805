"""A run under real load passes on its own; it fails only when nothing else explains why requests were late."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steelyard.records.measurement import Load
from steelyard.records.requirements import Latency
from steelyard.verdicts import load_verdict

P95 = Latency(percentile=95, bound_ms=10)


def run(late: int, **fields: Any) -> Load:
    """A thousand requests on a quiet machine; their latencies rise evenly to 20 ms."""
    plain = Load(
        rate_per_s=100,
        arrivals="poisson",
        seconds=10,
        requests=1000,
        late=late,
        late_once_sent=late,
        bound_ms=10,
        quantiles_ms=tuple(i / 5 for i in range(101)),
        sent_late_ms=(0.0,) * 101,
        generator_share=0.01,
        mean_batch=1.5,
        answered_per_s=100,
        others_cores=0.02,
    )
    return msgspec.structs.replace(plain, **fields)


@pytest.mark.parametrize(("late", "verdict"), [(30, "pass"), (50, "undecided"), (80, "fail")])
def test_late_requests_are_judged_with_confidence(late: int, verdict: str) -> None:
    assert load_verdict(run(late), P95, 0.95) == verdict


def test_spells_count_as_fewer_requests() -> None:
    assert load_verdict(run(30, clustering=10.0), P95, 0.95) == "undecided"
    assert load_verdict(run(80, clustering=10.0), P95, 0.95) == "undecided"
    assert load_verdict(run(0, clustering=10.0), P95, 0.95) == "pass"
    assert load_verdict(run(300, clustering=10.0), P95, 0.95) == "fail"


def test_busy_neighbours_excuse_a_fail_but_take_no_pass_away() -> None:
    assert load_verdict(run(80, others_cores=0.8), P95, 0.95) == "undecided"
    assert load_verdict(run(30, others_cores=0.8), P95, 0.95) == "pass"
    assert load_verdict(run(80, others_cores=None), P95, 0.95) == "fail"


def test_a_generator_that_was_late_is_to_blame_itself() -> None:
    assert load_verdict(run(80, late_once_sent=20), P95, 0.95) != "fail"
    assert load_verdict(run(300, late_once_sent=200), P95, 0.95) == "fail"


def test_another_bound_is_read_off_the_quantiles() -> None:
    """Five of a hundred are beyond 19 ms; a bound below that fails, one above passes."""
    assert load_verdict(run(0), Latency(percentile=95, bound_ms=12), 0.95) == "fail"
    assert load_verdict(run(900), Latency(percentile=95, bound_ms=19.5), 0.95) == "pass"
