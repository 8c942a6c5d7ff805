"""What a weighing is about: kept in the ledger beside its measurements, so that they can be decided on later."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.plan import SubjectInfo


class Place(Record):
    """One of several machines that a subject was weighed on."""

    name: str
    """As its candidates name it."""
    machine: Machine
    price: Price


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

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.candidates[0]
