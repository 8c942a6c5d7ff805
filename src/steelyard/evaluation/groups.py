"""Whether a network serves all groups alike: accuracy by group, and how far apart the groups lie.

Selection (demographic parity), recall (equal opportunity: M. Hardt, E. Price, N. Srebro, NeurIPS 2016) and errors; a
ratio below four fifths is the rule of thumb of the US Uniform Guidelines on Employee Selection Procedures, 1978.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from steelyard.evaluation.limits import share
from steelyard.numbers import percent
from steelyard.records.engine import Array
from steelyard.records.evaluation import Gap, GroupFigures, Interval
from steelyard.verdicts.bounds import proportion_lower, proportion_upper

FEWEST = 10
"""Items that a group needs to be held against others."""
FOUR_FIFTHS = 0.8
MOST_CLASSES = 20
MOST_GROUPS = 100


class _Rate(NamedTuple):
    group: str
    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of


def figures_of_groups(answers: Array, targets: Array, classes: tuple[str, ...], groups: Array) -> dict[str, Any]:
    """The fields of an Evaluation that tell of groups. `answers`, `targets`: class numbers; `groups`: [items]."""
    names = [str(each) for each in groups]
    every = {name: np.array([each == name for each in names]) for name in sorted(set(names))[:MOST_GROUPS]}
    gaps = tuple(_gaps(answers, targets, classes, every))
    return {
        "groups": tuple(
            GroupFigures(name=name, items=int(mine.sum()), accuracy=_accuracy(answers[mine], targets[mine]))
            for name, mine in every.items()
        ),
        "gaps": gaps,
        "warnings": tuple(_warning(gap) for gap in gaps if _is_grave(gap)),
    }


def _accuracy(answers: Array, targets: Array) -> Interval:
    return share(int((answers == targets).sum()), len(targets))


def _gaps(answers: Array, targets: Array, classes: Sequence[str], every: dict[str, Array]) -> Iterator[Gap]:
    wrong = answers != targets
    yield from _gap("error", "", [(name, wrong[mine]) for name, mine in every.items()])
    for number, of in enumerate(classes[:MOST_CLASSES]):
        told, is_one = answers == number, targets == number
        yield from _gap("selection", of, [(name, told[mine]) for name, mine in every.items()])
        yield from _gap("recall", of, [(name, told[mine & is_one]) for name, mine in every.items()])


def _gap(what: str, of: str, hits: Sequence[tuple[str, Array]]) -> Iterator[Gap]:
    rates = [_Rate(name, int(hit.sum()), len(hit)) for name, hit in hits if len(hit) >= FEWEST]
    if len(rates) < 2:
        return
    highest, lowest = max(rates, key=lambda rate: rate.value), min(rates, key=lambda rate: rate.value)
    yield Gap(
        what=what, of=of, highest=highest.group, lowest=lowest.group,
        difference=_difference(highest, lowest, len(rates)),
        ratio=lowest.value / highest.value if highest.hits else 1.0,
    )  # fmt: skip


def _difference(high: _Rate, low: _Rate, groups: int) -> Interval:
    """Limits hold for whichever two of the groups lie furthest apart: each rate gets its part of the 5 %."""
    sure = 1 - 0.05 / (2 * groups)
    return Interval(
        value=high.value - low.value,
        low=proportion_lower(high.hits, high.of, sure) - proportion_upper(low.hits, low.of, sure),
        high=proportion_upper(high.hits, high.of, sure) - proportion_lower(low.hits, low.of, sure),
    )


def _is_grave(gap: Gap) -> bool:
    """More than chance explains, and against the four fifths (of errors: those for whom it errs least are the best)."""
    return gap.difference.low > 0 and gap.ratio < FOUR_FIFTHS


def _warning(gap: Gap) -> str:
    what = {"error": "is wrong", "selection": f"tells '{gap.of}'", "recall": f"finds '{gap.of}'"}[gap.what]
    difference = gap.difference
    return (
        f"it {what} far more often for {gap.highest} than for {gap.lowest}: {percent(difference.value)} apart "
        f"(at least {percent(difference.low)}), ratio {gap.ratio:.2f}"
    )
