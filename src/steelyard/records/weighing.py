"""What a weighing is about: kept in the ledger beside its measurements, so that they can be decided on later."""

from __future__ import annotations

from steelyard.records.base import Record
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine
from steelyard.records.plan import SubjectInfo


class Weighing(Record):
    """One subject on one machine, and all that can be tried there; the first candidate is the reference."""

    subject: SubjectInfo
    machine: Machine
    candidates: tuple[Candidate, ...]

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.candidates[0]
