"""What a search knows so far: kept in the ledger entry by entry, taken over from it when the search is run again."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from steelyard.ledger import Keeping
from steelyard.records.base import digest
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine
from steelyard.records.measurement import Entry, Evidence, Load, Measurement, Probe, Quality, Speed
from steelyard.records.subject import Split, Subject

M = TypeVar("M", Probe, Speed, Quality, Load)


@dataclass(frozen=True)
class Event:
    """Something to show to whoever waits."""

    stage: str
    text: str
    done: int
    total: int
    best: str = ""
    """The best so far, in words."""


class Notebook:
    """Measurements of one subject on one machine; every one is in the ledger before the next begins."""

    def __init__(
        self, subject: Subject, machine: Machine, ledger: Keeping, left_s: Callable[[], float] = lambda: math.inf
    ) -> None:
        """`left_s`: how long another run that makes a measurement may be waited for."""
        self._subject = subject
        self._machine = machine.fingerprint
        self._ledger = ledger
        self._left_s = left_s
        self.measured = 0
        self.resumed = 0
        self._held: dict[str, Measurement] = {}
        self._of: dict[str, list[Measurement]] = {}
        self._versions: dict[str, dict[str, str]] = {}

    def recall(
        self, kind: type[M], candidate: Candidate, what: str, unless: Callable[[M], bool] = lambda _: False
    ) -> M | None:
        """What the ledger holds of this very measurement."""
        key = self._key(kind, candidate, what)
        found = self._held.get(key) or self._ledger.find(key)
        if not isinstance(found, kind) or unless(found):
            return None
        owner = self._owner(kind, candidate)
        if not any(found is known for known in self._of.get(owner, ())):
            self.resumed += 1
            self._note(owner, found)
        return found

    def turn(
        self, kind: type[M], candidate: Candidate, what: str, unless: Callable[[M], bool] = lambda _: False
    ) -> M | None:
        """Like `recall`; but None means that this run shall measure it, and that others on the ledger wait for it."""
        known = self.recall(kind, candidate, what, unless)
        if known is None:
            self._ledger.claim(self._key(kind, candidate, what), max(0.0, self._left_s()))
            known = self.recall(kind, candidate, what, unless)
        return known

    def keep(self, candidate: Candidate, what: str, measurement: Measurement) -> None:
        """Append a measurement."""
        kind = type(measurement)
        owner, key = self._owner(kind, candidate), self._key(kind, candidate, what)
        self._ledger.append(
            Entry(
                key=key,
                subject=self._subject.key,
                candidate=owner,
                machine=self._machine,
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                measurement=measurement,
            )
        )
        self.measured += 1
        self._held[key] = measurement
        self._note(owner, measurement)

    def _key(self, kind: type[Measurement], candidate: Candidate, what: str) -> str:
        """Everything that could change the result."""
        versions = self._versions.get(candidate.id)
        if versions is None:
            versions = self._versions[candidate.id] = dict(self._subject.versions(candidate))
        return digest(what, self._subject.key, self._owner(kind, candidate), versions, self._machine)

    @staticmethod
    def _owner(kind: type[Measurement], candidate: Candidate) -> str:
        return candidate.numerics if kind is Quality else candidate.id

    def _note(self, owner: str, measurement: Measurement) -> None:
        self._of.setdefault(owner, []).append(measurement)

    def evidence(
        self, candidates: Iterable[Candidate], dropped: Mapping[str, str] | None = None
    ) -> dict[str, Evidence]:
        """All that is known of each candidate; `dropped`: why the search stopped measuring it, by id."""
        return fold(candidates, self._of, self._subject.split, dropped)

    def glances(self) -> dict[str, Speed]:
        """The rough timings, by candidate id."""
        return {
            owner: measurement
            for owner, measurements in self._of.items()
            for measurement in measurements
            if isinstance(measurement, Speed) and measurement.rough
        }


def fold(
    candidates: Iterable[Candidate],
    measurements: Mapping[str, Iterable[Measurement]],
    split: Split,
    dropped: Mapping[str, str] | None = None,
) -> dict[str, Evidence]:
    """Measurements (by candidate id, quality by numerics; later ones replace earlier ones) as evidence by id."""
    return {c.id: _evidence(c, measurements, split, (dropped or {}).get(c.id, "")) for c in candidates}


def _evidence(
    candidate: Candidate, measurements: Mapping[str, Iterable[Measurement]], split: Split, dropped: str
) -> Evidence:
    probe: Probe | None = None
    speed: Speed | None = None
    selected: Quality | None = None
    confirmed: Quality | None = None
    load: Load | None = None
    for measurement in (*measurements.get(candidate.numerics, ()), *measurements.get(candidate.id, ())):
        match measurement:
            case Probe():
                probe = measurement
            case Speed(rough=False):
                speed = measurement
            case Quality(start=0) if selected is None or measurement.items >= selected.items:
                selected = measurement
            case Quality(start=split.select):
                confirmed = measurement
            case Load():
                load = measurement
    return Evidence(
        candidate_id=candidate.id,
        probe=probe,
        speed=speed,
        selected=selected,
        confirmed=confirmed,
        load=load,
        dropped=dropped,
    )
