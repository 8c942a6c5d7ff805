"""What a weighing is about: kept in the ledger beside its measurements, so that they can be decided on later."""

from __future__ import annotations

import msgspec

from steelyard.records.base import Record
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.plan import SubjectInfo
from steelyard.records.requirements import Requirements


class Place(Record):
    """One of several machines that a subject was weighed on."""

    name: str
    """As its candidates name it."""
    machine: Machine
    price: Price


class Searched(Record):
    """A search that was made among the candidates."""

    requirements: Requirements
    complete: bool
    """Not ended by the time allowed, or by the user."""
    exhaustive: bool = False
    """Every candidate was measured to the end, whatever the requirements."""

    def answers(self, requirements: Requirements) -> bool:
        """Whether what it left unmeasured could not be chosen for these requirements either."""
        return self.complete and (self.exhaustive or _searched_for(self.requirements) == _searched_for(requirements))


def _searched_for(requirements: Requirements) -> Requirements:
    """Without what only counts replicas: how many are needed changes nothing about which candidate is cheapest."""
    return msgspec.structs.replace(
        requirements, rate_per_s=None, headroom=0.0, spare=None, budget_per_month=None, budget_currency=""
    )


class Weighing(Record):
    """One subject on one machine, and all that can be tried there; the first candidate is the reference.

    Several weighings joined into one have `places`: each candidate names its place, the first candidate of a place
    is the reference there, and `machine` is the first place's.
    """

    subject: SubjectInfo
    machine: Machine
    candidates: tuple[Candidate, ...]
    name: str = ""
    """What the machine was called when it was weighed (`--machine`); empty: nothing."""
    price: Price | None = None
    """What it was said to cost then."""
    places: tuple[Place, ...] = ()
    searches: tuple[Searched, ...] = ()
    """Those that came to an end, the newest last."""

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.candidates[0]
