"""A small run of benchmarks/bench_verdicts.py: wrong verdicts are as rare as promised, in every kind of world."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.records.subject import Split
from steelyard.verdicts import clustering_of, late_items_needed, late_verdict

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRIALS = 150
MOST = 15  # 5 % and two and a half standard errors of so many trials


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("bench_verdicts")


SHORT = (
    "accuracy, few discordant",
    "macro F1, ten classes",
    "macro F1, few discordant",
    "AUROC, 2 % broken",
    "MSE, 2 % broken",
    "cosine",
)


@pytest.mark.parametrize("name", SHORT)
def test_wrong_verdicts_are_rare(bench: Any, name: str) -> None:
    world = next(world for world in bench.WORLDS if world.name == name)
    found = bench.rates(world._replace(looks=(60, 240)), TRIALS, replicates=199, seed=5, truth_items=200_000)
    assert found.false_pass * TRIALS <= MOST, found
    assert found.false_fail * TRIALS <= MOST, found


def test_lateness_in_spells_is_not_taken_for_more_evidence_than_it_is(bench: Any) -> None:
    found = bench.lateness(0.8, 10_000, 300, seed=2)
    assert found.false_pass <= 0.09
    assert found.false_fail <= 0.09
    rng = np.random.default_rng(0)
    naive = [late_verdict(sum(bench.latencies(rng, 10_000, 0.8) > 11.98), 10_000, 95, 0.95) for _ in range(100)]
    assert naive.count("pass") > 15, "a plain binomial test would be wrong far more often"


def test_a_promise_that_is_broken_shows(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the confidence left out of the verdict, the same simulation finds it."""
    monkeypatch.setattr(bench, "spent", lambda *_: 0.6)
    world = next(world for world in bench.WORLDS if world.name == "macro F1, ten classes")
    found = bench.rates(world._replace(looks=(60, 240)), 60, replicates=199, seed=5, truth_items=200_000)
    assert bench.breaks(found, 60)


# Spells of late requests


def test_independent_requests_are_hardly_clustered_and_spells_are() -> None:
    rng = np.random.default_rng(1)
    alone = rng.exponential(size=20_000)
    assert 1 <= clustering_of(alone.tolist(), 95) < 3
    spells = np.repeat(rng.exponential(size=1000), 20)
    assert 12 < clustering_of(spells.tolist(), 95) < 60


@pytest.mark.parametrize("latencies", [[], [1.0] * 30, [2.0] * 5000])
def test_runs_that_say_nothing_about_spells_are_taken_as_they_are(latencies: list[float]) -> None:
    assert clustering_of(latencies, 99) == 1.0


def test_clustered_requests_count_for_less() -> None:
    assert late_verdict(30, 1000, 95, 0.95) == "pass"
    assert late_verdict(30, 1000, 95, 0.95, clustering=10) == "undecided"
    alone, clustered = (late_items_needed(30, 1000, 95, 0.95, clustering) for clustering in (1.0, 10.0))
    assert clustered is not None
    assert alone is not None
    assert late_verdict(round(0.03 * clustered * 1.02), round(clustered * 1.02), 95, 0.95, 10) == "pass"
    assert clustered > 3 * alone


# Looks


@pytest.mark.parametrize(
    ("select", "looks"), [(90, (90,)), (500, (500,)), (900, (225, 900)), (5000, (312, 1250, 5000))]
)
def test_every_look_takes_in_a_quarter_of_the_next(select: int, looks: tuple[int, ...]) -> None:
    assert Split(select=select, confirm=10).looks == looks
