"""Other ways to search, in the same race: they say which candidate is measured to the end next, one after the other.

Everything else is equal for all: the reference first, the time, what is set aside for confirming, the decision.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from steelyard.decision.standing import Standing
from steelyard.records.candidate import Candidate
from steelyard.search.known import Known, Step
from steelyard.search.settling import confirming

POOR = -10.0
"""The figure of what failed or breaks a requirement."""


class OneByOne:
    """See `steelyard.search.known.Strategy`: each candidate to the end, the next as `pick` says."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._current: str | None = None

    def pick(self, known: Known, left: list[Standing]) -> Standing:
        """One of those left."""
        raise NotImplementedError

    def next(self, known: Known) -> Step | None:
        left = [s for s in known.standings[1:] if known.is_open(s) and not _is_out(s) and _fits(known, s)]
        current = next((s for s in left if s.candidate.id == self._current), None)
        if current is None and left:
            current = self.pick(known, left)
            self._current = current.candidate.id
        return confirming(known) if current is None else known.open_steps(current)[0]

    def reasons(self, known: Known) -> Mapping[str, str]:
        return {}

    def wants_more(self, known: Known) -> bool:
        return False


def _fits(known: Known, standing: Standing) -> bool:
    return known.to_finish(standing, standing.capacity) <= known.left_s


def _is_out(standing: Standing) -> bool:
    return "quality" in standing.breaks_whatever_its_speed


def rating(known: Known, standing: Standing) -> float:
    """The logarithm that is compared."""
    if not standing.in_the_running or standing.speed is None:
        return POOR
    return known.figure.of(standing.candidate, standing.speed)


def knobs(candidate: Candidate) -> dict[str, str]:
    """What a candidate is made up of."""
    division = f"{candidate.threads}x{candidate.streams}x{candidate.instances}"
    engine = f"{candidate.runtime} {candidate.precision}"
    return {"variant": candidate.variant, "engine": engine, "division": division}


class Random(OneByOne):
    """Any."""

    def pick(self, known: Known, left: list[Standing]) -> Standing:
        return self.rng.choice(left)


class HillClimbing(OneByOne):
    """From anywhere to the neighbours (one knob differs) of the best; elsewhere once all of these were measured."""

    def pick(self, known: Known, left: list[Standing]) -> Standing:
        measured = [s for s in known.standings[1:] if s not in left and s.evidence.probe is not None]
        if measured:
            best = max(measured, key=lambda s: rating(known, s))
            near = [s for s in left if _differing(s.candidate, best.candidate) == 1]
            if near:
                return self.rng.choice(near)
        return self.rng.choice(left)


def _differing(one: Candidate, other: Candidate) -> int:
    mine, theirs = knobs(one), knobs(other)
    return sum(mine[name] != theirs[name] for name in mine)


class Optuna(OneByOne):
    """Optuna's TPE over the three knobs; combinations that do not exist, or were tried, are told to be poor."""

    MOST_ASKED = 30

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `multivariate` is called experimental
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=5)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: tuple[Any, str] | None = None

    def pick(self, known: Known, left: list[Standing]) -> Standing:
        if self._asked is not None:
            trial, name = self._asked
            self._study.tell(trial, rating(known, next(s for s in known.standings if s.candidate.id == name)))
        by_knobs = {tuple(knobs(s.candidate).values()): s for s in left}
        choices = {name: sorted(values) for name, values in _values(known).items()}
        for _ in range(self.MOST_ASKED):
            trial = self._study.ask()
            wanted = tuple(trial.suggest_categorical(name, values) for name, values in choices.items())
            found = by_knobs.get(wanted)
            if found is not None:
                self._asked = trial, found.candidate.id
                return found
            self._study.tell(trial, POOR)
        self._asked = None
        return self.rng.choice(left)


def _values(known: Known) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for standing in known.standings[1:]:
        for name, value in knobs(standing.candidate).items():
            found.setdefault(name, set()).add(value)
    return found


def every() -> Iterator[tuple[str, type[OneByOne]]]:
    """By name; Optuna only where it is installed."""
    yield "random search", Random
    yield "hill climbing", HillClimbing
    try:
        import optuna  # noqa: F401
    except ImportError:
        return
    yield "Optuna (TPE)", Optuna
