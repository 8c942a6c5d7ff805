"""How often verdicts are wrong, on simulated candidates whose truth is known.

Every world draws items, and what reference and candidate answer to them, with a true drop that is known; exactly that
drop is demanded, where both mistakes are likeliest: "pass" would have been wrong had the candidate been a trace worse,
"fail" had it been a trace better. Each trial looks at growing parts of the same items, as the search does, and ends
at the first verdict that is not "undecided". Lateness is judged on requests that really queue.

Promised: at 95 % confidence at most 5 % of the trials end in a wrong "pass", and at most 5 % in a wrong "fail".
Printed: a table, and with `--json FILE` the same as JSON. Exit status: how many worlds break the promise by more than
chance explains (three standard errors of the number of trials).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.metrics import metric
from steelyard.metrics.judging import judge
from steelyard.verdicts import clustering_of, judge_quality, late_verdict, spent

Array = npt.NDArray[Any]
Rng = np.random.Generator
Drawn = tuple[Array, Array, Array]
"""Candidate's answers, reference's answers, truth."""

CONFIDENCE = 0.95
PROMISED = 0.05
TRUTH_ITEMS = 2_000_000


class World(NamedTuple):
    """A kind of candidate, what judges it, and at which numbers of items it is looked at."""

    name: str
    metric: str
    draw: Callable[[Rng, int], Drawn]
    looks: tuple[int, ...]


class Rates(NamedTuple):
    """Shares of the trials."""

    world: str
    looks: tuple[int, ...]
    demanded: float
    false_pass: float
    false_fail: float
    undecided: float
    seconds: float


# --- worlds: classes


def accuracy(lost: float, gained: float, right: float = 0.9) -> Callable[[Rng, int], Drawn]:
    """Items that only the reference, or only the candidate, has right."""

    def draw(rng: Rng, items: int) -> Drawn:
        kind = rng.choice(4, items, p=[lost, gained, right - lost, 1 - right - gained])
        truth = np.zeros(items, np.int64)
        return np.where((kind == 1) | (kind == 2), 0, 1), np.where((kind == 0) | (kind == 2), 0, 1), truth

    return draw


def classes(shares: tuple[float, ...], right: float, changed: float, worse: float) -> Callable[[Rng, int], Drawn]:
    """Classes of these shares. The candidate changes some answers at random, and spoils some that were right."""

    def draw(rng: Rng, items: int) -> Drawn:
        truth = rng.choice(len(shares), items, p=shares)
        other = rng.integers(0, len(shares), items)
        reference = np.where(rng.random(items) < right, truth, other)
        again = np.where(rng.random(items) < right, truth, rng.integers(0, len(shares), items))
        answers = np.where(rng.random(items) < changed, again, reference)
        spoilt = rng.random(items) < worse
        return np.where(spoilt, rng.integers(0, len(shares), items), answers), reference, truth

    return draw


def scores(positive: float, noise: float, broken: float) -> Callable[[Rng, int], Drawn]:
    """Scores of two classes one deviation apart; the candidate adds noise, and scores some items at random."""

    def draw(rng: Rng, items: int) -> Drawn:
        truth = (rng.random(items) < positive).astype(np.int64)
        reference = truth * 1.5 + rng.normal(size=items)
        answers = reference + noise * rng.normal(size=items)
        return np.where(rng.random(items) < broken, 2 * rng.normal(size=items), answers), reference, truth

    return draw


# --- worlds: numbers


def values(noise: float, broken: float, size: float) -> Callable[[Rng, int], Drawn]:
    """Normal errors; the candidate adds some of its own, and large ones to a share of the items."""

    def draw(rng: Rng, items: int) -> Drawn:
        truth = 3 * rng.normal(size=items)
        reference = truth + rng.normal(size=items)
        hit = rng.random(items) < broken
        return reference + noise * rng.normal(size=items) + hit * size * rng.normal(size=items), reference, truth

    return draw


def directions(noise: float) -> Callable[[Rng, int], Drawn]:
    """Vectors that the candidate turns a little."""

    def draw(rng: Rng, items: int) -> Drawn:
        truth = rng.normal(size=(items, 4))
        return truth + noise * rng.normal(size=truth.shape), truth + 0.1 * rng.normal(size=truth.shape), truth

    return draw


def median_error(answers: Array, targets: Array) -> float:
    """A metric of one's own."""
    return float(np.median(np.abs(answers - targets)))


median_error.greater_is_better = False  # type: ignore[attr-defined]


def share_right(answers: Array, targets: Array) -> float:
    """Another one."""
    return float(np.mean(answers == targets))


OWN = f"{Path(__file__).stem}:"
TEN, RARE = (0.1,) * 10, (0.55, 0.25, 0.1, 0.07, 0.03)
WORLDS = (
    World("accuracy, few discordant", "accuracy", accuracy(0.006, 0.001), (250, 1000, 4000)),
    World("accuracy, many discordant", "accuracy", accuracy(0.09, 0.07), (60, 250, 1000)),
    World("accuracy, only lost", "accuracy", accuracy(0.01, 0.0), (60, 250, 1000)),
    World("recall of a rare class", "recall:4", classes(RARE, 0.85, 0.05, 0.03), (250, 1000)),
    World("macro F1, ten classes", "macro_f1", classes(TEN, 0.85, 0.04, 0.02), (60, 250, 1000)),
    World("macro F1, few discordant", "macro_f1", classes(TEN, 0.9, 0.0, 0.005), (60, 250, 1000)),
    World("macro F1, rare classes", "macro_f1", classes(RARE, 0.85, 0.05, 0.03), (60, 250, 1000)),
    World("F1 of a rare class", "f1:4", classes(RARE, 0.85, 0.05, 0.03), (250, 1000)),
    World("precision", "precision", classes(RARE, 0.85, 0.05, 0.03), (60, 250, 1000)),
    World("AUROC, a little noise", "auroc", scores(0.5, 0.3, 0.0), (60, 250, 1000)),
    World("AUROC, rare positives", "auroc", scores(0.06, 0.3, 0.0), (250, 1000)),
    World("AUROC, 2 % broken", "auroc", scores(0.3, 0.0, 0.02), (60, 250, 1000)),
    World("MSE, normal errors", "mse", values(0.3, 0.0, 0.0), (60, 250, 1000)),
    World("MSE, 2 % broken", "mse", values(0.0, 0.02, 2.0), (60, 250, 1000)),
    World("MAE, normal errors", "mae", values(0.3, 0.0, 0.0), (60, 250, 1000)),
    World("R², 2 % broken", "r2", values(0.0, 0.02, 2.0), (60, 250, 1000)),
    World("cosine", "cosine", directions(0.2), (60, 250, 1000)),
    World("own: median error", f"{OWN}median_error", values(0.5, 0.0, 0.0), (60, 250)),
    World("own: share right", f"{OWN}share_right", accuracy(0.01, 0.002), (250, 1000)),
)


def truth_of(world: World, items: int) -> float:
    """The true drop, from very many items."""
    judged_by = metric(world.metric)
    answers, reference, truth = world.draw(np.random.default_rng(123), items)
    value, expected = judged_by.value(answers, truth), judged_by.value(reference, truth)
    return value / expected - 1 if judged_by.lower_is_better else expected - value


def ending(world: World, rng: Rng, demanded: float, replicates: int) -> str:
    """The first verdict that is not "undecided"."""
    drawn = world.draw(rng, world.looks[-1])
    for items in world.looks:
        answers, reference, truth = (part[:items] for part in drawn)
        seed = int(rng.integers(1 << 31))
        quality = judge(metric(world.metric), answers, reference, truth, 0, seed=seed, replicates=replicates)
        verdict = judge_quality(quality, None, demanded, spent(CONFIDENCE, items, world.looks)).verdict
        if verdict != "undecided":
            return verdict
    return "undecided"


def rates(world: World, trials: int, replicates: int, seed: int = 0, truth_items: int = TRUTH_ITEMS) -> Rates:
    """How the trials of one world end."""
    began = time.perf_counter()
    rng, demanded = np.random.default_rng(seed), truth_of(world, truth_items)
    ends = [ending(world, rng, demanded, replicates) for _ in range(trials)]
    return _rates(world.name, world.looks, demanded, ends, time.perf_counter() - began)


# --- lateness


def latencies(rng: Rng, requests: int, load: float) -> Array:
    """Waiting and service of requests that arrive at random at one server (D. V. Lindley's recursion, 1952)."""
    service, gaps = rng.exponential(load, requests), rng.exponential(1.0, requests)
    walk = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    waiting = walk - np.minimum.accumulate(walk)
    return np.asarray(waiting + service)


def lateness(load: float, requests: int, trials: int, seed: int = 0) -> Rates:
    """95 % of the requests must be on time, and in truth exactly 95 % are."""
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    bound = -math.log(0.05) / (1 / load - 1)  # the time in an M/M/1 queue is exponential
    ends: list[str] = []
    for _ in range(trials):
        found = latencies(rng, requests + 2000, load)[2000:]  # the queue starts empty
        late = int((found > bound).sum())
        ends.append(late_verdict(late, requests, 95, CONFIDENCE, clustering_of(found.tolist(), 95)))
    return _rates(f"lateness, load {load:g}", (requests,), 0.05, ends, time.perf_counter() - began)


def _rates(name: str, looks: tuple[int, ...], demanded: float, ends: list[str], seconds: float) -> Rates:
    passed, failed, open_ = (ends.count(end) / len(ends) for end in ("pass", "fail", "undecided"))
    return Rates(name, looks, demanded, passed, failed, open_, seconds)


def breaks(found: Rates, trials: int) -> bool:
    """Whether more trials end wrongly than the promise and chance explain."""
    most = PROMISED + 3 * math.sqrt(PROMISED * (1 - PROMISED) / trials)
    return max(found.false_pass, found.false_fail) > most


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=499)
    parser.add_argument("--only", default="", help="worlds whose names contain this")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    found: list[Rates] = []
    print("| world | looks | false pass | false fail | undecided |\n| --- | --- | ---: | ---: | ---: |")

    def tell(one: Rates) -> None:
        found.append(one)
        looks = ", ".join(map(str, one.looks))
        shares = (f"{share:.1%}" for share in (one.false_pass, one.false_fail, one.undecided))
        print(f"| {one.world} | {looks} | {' | '.join(shares)} |", flush=True)

    for world in WORLDS:
        if given.only in world.name:
            tell(rates(world, given.trials, given.replicates))
    for load, requests in ((0.05, 2000), (0.5, 5000), (0.8, 20_000)):
        if given.only in "lateness":
            tell(lateness(load, requests, given.trials))
    if given.json:
        given.json.write_text(json.dumps([one._asdict() for one in found], indent=1))
    return sum(breaks(one, given.trials) for one in found)


if __name__ == "__main__":
    sys.exit(main())
