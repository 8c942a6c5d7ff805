"""What to try next: Optuna proposes, and remembers in a SQLite file, so that a search goes on after any end.

The sampler is the multi-objective tree-structured Parzen estimator (Y. Ozaki et al., GECCO 2020): after some points at
random it draws where good ones lay. Evolution, Optuna's usual choice for two objectives, needs populations of fifty and
more, and a search that trains networks seldom has time for one. Costs are told as logarithms: to halve one is worth the
same wherever it is done.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from steelyard.errors import UsageError
from steelyard.records.base import digest, from_json, to_json
from steelyard.records.searching import Tried
from steelyard.records.space import Range, Space
from steelyard.train.space import drawn, told

STUDY = "steelyard"
IDENTITY, TRIED, BEGUN, HARMLESS = "identity", "tried", "begun", "harmless"
"""What is noted beside Optuna's own notes."""
AT_RANDOM = 8
"""Points, before the estimator has something to go by."""
MOST_BEGINNINGS = 2
"""What ended the program so often, each time before an epoch was over, is not tried again."""
DRAWS = 2000
"""At random, to find a point that is new; none among so many: there is none."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Proposal:
    """A point to be tried."""

    trial: Trial
    settings: Mapping[str, Any]
    key: str

    @property
    def told(self) -> str:
        """In a line."""
        return told(self.settings)


class Proposals:
    """The points of one search. What was tried is in `tried`, also by earlier runs."""

    def __init__(self, place: Path, space: Space, identity: str, seed: int, *, lower_is_better: bool) -> None:
        """`identity`: a hash of all that trials must have in common to be compared.

        Raises UsageError when the file holds another search.
        """
        storage = optuna.storages.RDBStorage(f"sqlite:///{place.resolve()}", skip_compatibility_check=False)
        directions = [StudyDirection.MINIMIZE if lower_is_better else StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        self._study = optuna.create_study(storage=storage, study_name=STUDY, directions=directions, load_if_exists=True)
        self._check(identity, place)
        self._space = space
        known = self._study.get_trials(deepcopy=False)
        luck = seed + len(known)
        self._random = random.Random(luck)  # noqa: S311 - nothing secret
        # Seeded anew for each run: otherwise one that goes on would draw what was drawn before.
        self._study.sampler = optuna.samplers.TPESampler(seed=luck, n_startup_trials=AT_RANDOM)
        self.tried: list[Tried] = sorted(
            (from_json(trial.user_attrs[TRIED], Tried) for trial in known if TRIED in trial.user_attrs),
            key=lambda tried: tried.number,
        )
        for trial in known:
            if trial.state is TrialState.RUNNING:
                self._take_up(trial)

    def _check(self, identity: str, place: Path) -> None:
        before = self._study.user_attrs.get(IDENTITY)
        if before is None:
            self._study.set_user_attr(IDENTITY, identity)
        elif before != identity:
            raise UsageError(
                f"{place.parent} holds another search: the recipe, its space, data, latency or machine have changed",
                "begin anew with --fresh, or keep it by naming another folder with --out",
            )

    def _take_up(self, trial: FrozenTrial) -> None:
        """What was under way when the last run ended is tried first."""
        begun = trial.user_attrs.get(BEGUN, 0) - (HARMLESS in trial.user_attrs)
        if trial.params:
            self._study.enqueue_trial(trial.params, user_attrs={BEGUN: begun})
        self._study.tell(trial.number, state=TrialState.FAIL)

    def begin_with(self, chosen: Mapping[str, Any]) -> None:
        """The recipe as it stands, so far as it lies in the space; only where nothing was tried before."""
        if chosen and not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(dict(chosen))

    def next(self) -> Proposal | None:
        """A point that was not tried before; None: there is none."""
        while True:
            trial = self._study.ask()
            settings = drawn(self._space, _Asked(trial))
            proposal = Proposal(trial, settings, key_of(settings))
            begun = trial.user_attrs.get(BEGUN, 0)
            if begun >= MOST_BEGINNINGS:
                reason = f"the program ended {begun} times while this was tried"
                self.learn(proposal, self.ended(settings, ending="failed", reason=reason))
            elif self._of(proposal.key) is None:
                trial.set_user_attr(BEGUN, begun + 1)
                return proposal
            elif not self._enqueued_other(trial):
                return None

    def _enqueued_other(self, trial: Trial) -> bool:
        """Whether there is a point that was not tried, to be tried in the place of one that was."""
        self._study.tell(trial, state=TrialState.FAIL)
        untried = self._untried()
        if untried is not None:
            self._study.enqueue_trial(untried)
        return untried is not None

    def _of(self, key: str) -> Tried | None:
        return next((tried for tried in self.tried if tried.key == key), None)

    def _untried(self) -> dict[str, Any] | None:
        """By Optuna's names, a point at random."""
        for _ in range(DRAWS):
            chooser = AtRandom(self._random)
            if self._of(key_of(drawn(self._space, chooser))) is None:
                return chooser.chosen
        return None

    def ended(self, settings: Mapping[str, Any], **facts: Any) -> Tried:
        """A point with the next number."""
        return Tried(
            number=len(self.tried) + 1, key=key_of(settings), settings=dict(settings), told=told(settings), **facts
        )

    def learn(self, proposal: Proposal, tried: Tried) -> None:
        """How a point did."""
        proposal.trial.set_user_attr(TRIED, to_json(tried).decode())
        self.tried.append(tried)
        if tried.ending == "finished" and tried.serving is not None and tried.validation is not None:
            self._study.tell(proposal.trial, [tried.validation, math.log(tried.serving.machine_ms)])
        else:
            self._study.tell(proposal.trial, state=TrialState.PRUNED)  # failed ones too: their like is to be avoided

    def absolve(self, proposal: Proposal) -> None:
        """If the program ends now, it is not this network's fault: it came through an epoch, or its time was up."""
        proposal.trial.set_user_attr(HARMLESS, True)


def key_of(settings: Mapping[str, Any]) -> str:
    """The same for equal settings."""
    return digest(dict(settings))


class _Asked:
    """Optuna chooses."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def among(self, name: str, labels: Sequence[str]) -> str:
        chosen: str = self._trial.suggest_categorical(name, labels)
        return chosen

    def between(self, name: str, limits: Range) -> float:
        if limits.whole:
            step = int(limits.step or 1)
            return self._trial.suggest_int(name, int(limits.low), int(limits.high), log=limits.log, step=step)
        return self._trial.suggest_float(name, limits.low, limits.high, log=limits.log, step=limits.step)


class AtRandom:
    """Chance chooses, each label and each number (or its logarithm) alike."""

    def __init__(self, luck: random.Random) -> None:
        self._luck = luck
        self.chosen: dict[str, Any] = {}

    def among(self, name: str, labels: Sequence[str]) -> str:
        """Any of them."""
        self.chosen[name] = self._luck.choice(labels)
        return str(self.chosen[name])

    def between(self, name: str, limits: Range) -> float:
        """Any between them."""
        self.chosen[name] = self._number(limits)
        return float(self.chosen[name])

    def _number(self, limits: Range) -> float:
        low, high = limits.low, limits.high
        if limits.whole or limits.step is not None:
            step = limits.step or 1
            return low + step * self._luck.randint(0, int((high - low) / step + 1e-9))
        if limits.log:
            return math.exp(self._luck.uniform(math.log(low), math.log(high)))
        return self._luck.uniform(low, high)
