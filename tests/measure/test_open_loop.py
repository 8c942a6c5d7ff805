"""Requests are sent on time whatever becomes of them, and latency counts from when they were due."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import CandidateFailure
from steelyard.measure.load import capacity_by_load, measure_load
from steelyard.measure.open_loop import Run, drive, run_load, summary
from steelyard.measure.process import Child, Limits
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load
from steelyard.records.requirements import Latency

P95_50MS = Latency(percentile=95, bound_ms=50)


def loaded(ms: float, rate: float, seconds: float = 0.5, workers: int = 1, arrivals: Arrivals = POISSON) -> Load:
    plan = [ms / 1e3] * 4
    return run_load(lambda *_: time.sleep(ms / 1e3), workers, plan, arrivals, rate, seconds, P95_50MS, 0)


def test_an_easy_load_is_answered_in_time_and_counted_in_full() -> None:
    load = loaded(2, 100, seconds=0.6)
    assert (load.requests, load.rate_per_s, load.arrivals) == (60, 100, "poisson")
    assert load.quantiles_ms[0] >= 2
    assert load.seconds == pytest.approx(0.6, rel=0.2)
    assert 1 <= load.mean_batch <= 4
    assert load.quantiles_ms[50] < 50
    assert len(load.quantiles_ms) == len(load.sent_late_ms) == 101
    assert min(load.sent_late_ms) >= 0
    assert 0 <= load.generator_share < 1


def test_a_server_that_stalls_does_not_slow_the_load_down() -> None:
    """A server that stops for 0.3 s makes late all that was due meanwhile, not just the request it was serving."""
    stalls = iter([0.3])
    times: np.ndarray = np.arange(80) / 100
    run = drive(lambda *_: time.sleep(next(stalls, 0.0)), 1, [1e-4], times, 0.05)
    load = summary(run, "poisson", 100, P95_50MS, None)
    assert load.requests == 80
    assert load.late >= 20
    assert load.quantiles_ms[-1] >= 290
    assert max(load.sent_late_ms) < 250


def test_more_than_can_be_served_ends_early_and_is_late() -> None:
    started = time.monotonic()
    load = loaded(40, 2000, seconds=8)  # a hundred a second can be served
    assert time.monotonic() - started < 8
    assert load.requests == 16_000
    assert load.late > 0.9 * load.requests
    assert load.late_once_sent > 0.9 * load.requests


def test_what_serving_raises_comes_out() -> None:
    def serve(worker: int, batch: int) -> None:
        raise ValueError("the engine says no")

    with pytest.raises(ValueError, match="says no"):
        run_load(serve, 1, [1e-3], POISSON, 100, 0.1, P95_50MS, 0)


def test_the_numbers_of_a_run() -> None:
    due: np.ndarray = np.arange(4.0)
    run = Run(
        due=due,
        sent=due + np.array([0.0, 0.001, 0.045, math.nan]),
        answered=due + np.array([0.01, 0.049, 0.06, math.nan]),
        batches=2,
        generator_s=0.1,
    )
    load = summary(run, "gamma:2", 1.0, P95_50MS, 0.25)
    assert (load.requests, load.late, load.late_once_sent) == (4, 2, 1)  # the one that was never sent is late
    assert load.quantiles_ms[0] == pytest.approx(10)
    assert load.quantiles_ms[-1] >= 1000
    assert load.sent_late_ms[-1] == pytest.approx(45)
    assert load.mean_batch == 1.5
    assert load.answered_per_s == pytest.approx(3 / 2.06)
    assert load.others_cores == 0.25


# In a child, through the workbench's function


def test_a_candidate_is_loaded_in_its_own_process(tmp_path: Path) -> None:
    candidate = Candidate(variant="v", runtime="r", max_batch=4, streams=2)
    with Child(Limits(memory_mb=1500, seconds=60), tmp_path / "log", threading.Event()) as child:
        child.ask("open", function="misbehaving:open_plain", argument={"ms": 2, "per_item_ms": 0.1}, streams=2)
        load = measure_load(child, candidate, 200, Arrivals(kind="gamma", cv=2), 0.5, P95_50MS)
        assert (load.requests, load.arrivals, load.bound_ms) == (100, "gamma:2", 50)
        assert load.quantiles_ms[0] >= 2
        assert load.others_cores is None or load.others_cores >= 0


def test_a_candidate_that_fails_under_load_is_a_failure_of_the_candidate(tmp_path: Path) -> None:
    candidate = Candidate(variant="v", runtime="r")
    with Child(Limits(memory_mb=1500, seconds=60), tmp_path / "log", threading.Event()) as child:
        child.ask("open", function="misbehaving:open_bad", argument={"how": "complain"})
        with pytest.raises(CandidateFailure, match="the engine says no"):
            measure_load(child, candidate, 100, POISSON, 0.2, P95_50MS)


# Finding the capacity


def made_up(rate: float, capacity: float, others: float = 0.0) -> Load:
    late = 20 if rate <= capacity else 800
    times = (1.0,) * 101
    return Load(
        rate_per_s=rate, arrivals="poisson", seconds=1, requests=1000, late=late, late_once_sent=late, bound_ms=50,
        quantiles_ms=times, sent_late_ms=times, generator_share=0, mean_batch=1, answered_per_s=rate,
        others_cores=others,
    )  # fmt: skip


@pytest.mark.parametrize("guess", [20, 95, 100, 130, 1000])
def test_the_capacity_is_found_in_a_few_runs_from_any_guess(guess: float) -> None:
    found = capacity_by_load(lambda rate: made_up(rate, 100.0), guess, P95_50MS)
    assert found.rate == pytest.approx(100, rel=0.04)
    assert len(found.runs) <= 14
    assert capacity_by_load(lambda rate: made_up(rate, 100.0), 100, P95_50MS).runs[0].rate_per_s == 100


def test_a_run_that_failed_beside_busy_neighbours_is_made_again() -> None:
    seen: dict[float, int] = {}

    def disturbed_at_first(rate: float) -> Load:
        seen[rate] = seen.get(rate, 0) + 1
        return made_up(rate, 0.0 if seen[rate] == 1 else 100.0, others=1.0)

    found = capacity_by_load(disturbed_at_first, 90, P95_50MS)
    assert found.rate == pytest.approx(100, rel=0.04)


def test_what_never_holds_has_no_capacity() -> None:
    assert capacity_by_load(lambda rate: made_up(rate, 0.0), 100, P95_50MS).rate == 0
