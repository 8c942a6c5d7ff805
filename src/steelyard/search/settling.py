"""The strategy of the race: next comes the measurement that is expected to settle most per second.

A candidate leaves when its chance to be better than the best that will be proven otherwise is below `CHANCE`: its
optimistic bounds do not reach that one, or it breaks a requirement. Leaving is no state. Should the best not be
confirmed, the chances of the others rise, and those that left because of it are in again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from steelyard.decision import choose, front, running
from steelyard.decision import contenders as keeping
from steelyard.records.candidate import Numerics
from steelyard.search.kinship import Kinship
from steelyard.search.known import STAGES, Known, Step
from steelyard.search.prospects import Prospect, Prospects

PRICE = 0.01
"""So much better (logarithm of the figure) a step must be expected to make the outcome that doubles the time spent."""
USUAL_S = 20.0
"""Time is not counted dearer than after so many seconds."""
PATIENCE, PATIENT_SHARE = 4.0, 0.25
"""A first look is broken off after so many times the expected seconds, but not before this share of the time left."""
CHANCE = 0.05
"""A candidate with a smaller chance to be the best is not measured any further."""
LEAST_S = 1e-3
"""No step is taken to be free."""
UP = "the time allowed for the search was up before its {stage}"


class Offer(NamedTuple):
    """A step that could be made, and what it promises per second."""

    step: Step
    worth: float


class Settling:
    """See `known.Strategy`."""

    def __init__(self, known: Known) -> None:
        self._kinship = Kinship(
            [s.candidate for s in known.standings], [known.outlooks[s.candidate.id].speed for s in known.standings]
        )

    def next(self, known: Known) -> Step | None:
        """The best offer that fits into the time; once there is none, what has to be confirmed."""
        prospects = self.prospects(known)
        wanted = _wanted(known, prospects)
        haven = prospects.haven
        fitting = [prospect for prospect in wanted if _fits(known, prospect, prospects.leader, haven)]
        if not fitting:
            return _to(haven, known) or confirming(known)
        lasting = _chance_to_last(known, fitting)
        offers = {prospect.standing.place: _offer(known, prospect, lasting) for prospect in fitting}
        best = max(offers, key=lambda place: offers[place].worth)
        return _limited(known, prospects.all[best], offers[best].step, prospects.leader)

    def wants_more(self, known: Known) -> bool:
        """Whether only the time keeps it from measuring more."""
        return bool(_wanted(known, self.prospects(known))) or confirming(known) is not None

    def prospects(self, known: Known) -> Prospects:
        """Bounds and chances of all."""
        return Prospects(known, self._kinship)

    def reasons(self, known: Known) -> Mapping[str, str]:
        """By id, why each that was not measured to the end was not."""
        prospects = self.prospects(known)
        told = {}
        for prospect in prospects.all[1:]:
            reason = _reason(known, prospect, prospects.likely)
            if reason:
                told[prospect.standing.candidate.id] = reason
        return told


def confirming(known: Known) -> Step | None:
    """The one that has to be confirmed next: what the choice waits for, then the rest of the front."""
    if not known.reference.split.confirm:
        return None
    ordered = running(known.standings)
    waiting = choose(ordered).unconfirmed
    if waiting is None:
        best = front(keeping(known.standings))
        waiting = next((s for s in best if s.evidence.confirmed is None), None)
    if waiting is None or waiting.candidate.id in known.late:
        return None
    return Step("confirm", waiting.candidate)


def _wanted(known: Known, prospects: Prospects) -> list[Prospect]:
    """Those that are in: not measured to the end, with a chance to be the best that is worth the time to find out."""
    return [p for p in prospects.all[1:] if known.is_open(p.standing) and _is_in(known, p)]


def _is_in(known: Known, prospect: Prospect) -> bool:
    return prospect.chance >= CHANCE and _is_worth(known, prospect)


def _is_worth(known: Known, prospect: Prospect) -> bool:
    """Whether what a first look is expected to gain is worth its time; what was looked at is measured anyway."""
    step = known.open_steps(prospect.standing)[0]
    if step.kind != "look":
        return True
    return prospect.gain >= PRICE * known.seconds(step) / max(known.passed_s, USUAL_S)


def _to(haven: Prospect | None, known: Known) -> Step | None:
    """The next step towards what to fall back on, before anything is confirmed.

    What is tested first is allowed nearly all of the error (see `decision.choice`). A bold candidate that failed alone
    would leave next to nothing for the others, and the reference would be chosen.
    """
    return None if haven is None else known.open_steps(haven.standing)[0]


def _fits(known: Known, prospect: Prospect, leader: Prospect | None, haven: Prospect | None) -> bool:
    """Whether time remains for its next step, and then for measuring to the end the best of those looked at, and what
    to fall back on."""
    kept_s = 0.0 if haven is None or haven in (prospect, leader) else haven.to_finish_s
    if leader is prospect:
        return kept_s == 0.0 or prospect.to_finish_s + kept_s <= known.left_s
    first = known.open_steps(prospect.standing)[0]
    if first.kind == "look":
        return known.seconds(first) + _afterwards_s(known, prospect, leader) + kept_s <= known.left_s
    return prospect.to_finish_s + (leader.to_finish_s if leader else 0.0) + kept_s <= known.left_s


def _limited(known: Known, prospect: Prospect, step: Step, leader: Prospect | None) -> Step:
    """A first look, which nobody knows beforehand how long it takes, must not use up the time of all others."""
    if step.kind != "look" or math.isinf(known.left_s):
        return step
    patience_s = max(PATIENCE * known.seconds(step), PATIENT_SHARE * known.left_s)
    return step._replace(most_s=min(patience_s, known.left_s - _afterwards_s(known, prospect, leader)))


def _afterwards_s(known: Known, prospect: Prospect, leader: Prospect | None) -> float:
    """After a first look, what it takes to bring the best to its end: the one looked at, or who led before."""
    itself = prospect.to_finish_s - known.seconds(known.open_steps(prospect.standing)[0])
    return max(itself, leader.to_finish_s if leader else 0.0)


def _chance_to_last(known: Known, among: Sequence[Prospect]) -> float:
    """That no candidate which was not looked at yet turns out to be the best: one chance for each kind of numerics."""
    chances: dict[Numerics, float] = {}
    for prospect in among:
        candidate = prospect.standing.candidate
        if candidate.id not in known.glances:
            chances[candidate.numerics] = max(prospect.chance, chances.get(candidate.numerics, 0.0))
    return math.prod(1 - chance for chance in chances.values())


def _offer(known: Known, prospect: Prospect, lasting: float) -> Offer:
    """The next step of one candidate.

    A first look is worth what it may gain over those that were looked at. Measuring to the end is worth what it
    gains over those that were measured to the end, if no look at another one will make it needless; a look at its
    quality that is as cheap as a first look need not wait for that.
    """
    steps = known.open_steps(prospect.standing)
    seconds = [known.seconds(step) + LEAST_S for step in steps]
    if steps[0].kind == "look":
        return Offer(steps[0], prospect.gain / seconds[0])
    first = _more_telling(prospect, seconds) if len(steps) == 2 else 0
    is_cheap = steps[first].kind == "quality" and seconds[first] <= known.costs.usual_look_s
    return Offer(steps[first], prospect.gain_now * (1.0 if is_cheap else lasting) / sum(seconds))


def _more_telling(prospect: Prospect, seconds: Sequence[float]) -> int:
    """Of quality (0) and speed (1), that which more probably ends it, per second."""
    by_quality = (1 - prospect.keeps) / seconds[0]
    by_speed = (1 - prospect.chance / max(prospect.keeps, 1e-9)) / seconds[1]
    return 0 if by_quality >= by_speed else 1


def _reason(known: Known, prospect: Prospect, best: Prospect | None) -> str:
    """Why it was not measured to the end; empty: it was."""
    standing = prospect.standing
    failure, steps = known.failure(standing), known.open_steps(standing)
    if failure is not None:
        return f"{failure.kind}: {failure.message}"
    if "quality" in standing.breaks_whatever_its_speed:
        return "its quality fails the requirement"
    if not steps:
        return ""
    if standing.candidate.id in known.late or best in (None, prospect) or _is_in(known, prospect):
        return UP.format(stage=STAGES[steps[0].kind])
    return _cannot_win(known, prospect, best)


def _cannot_win(known: Known, prospect: Prospect, best: Prospect) -> str:
    figure, name = known.figure, best.standing.candidate.id
    high, low = figure.words(prospect.high), figure.words(best.low)
    most, reaches = ("at best", "has at most") if figure.is_latency else ("at most", "reaches")
    if prospect.standing.candidate.id in known.glances:
        return f"cannot win: {most} {high} by a rough timing, where {name} {reaches} {low}"
    if prospect.high < best.low:
        return f"cannot win: {most} {high} to be expected from what its relatives showed, where {name} {reaches} {low}"
    look = Step("look", prospect.standing.candidate)
    return (
        f"not worth its time, about {known.seconds(look):,.0f} s: a chance of {prospect.chance:.0%} to beat {name}, "
        f"{most} {high} to be expected from what its relatives showed, {prospect.keeps:.0%} to keep the quality"
    )
