"""Everything that an exhaustive search measured, small enough to be kept: what a search can be replayed on.

What a table says is taken for the truth: service times per batch size, right and wrong per item, seconds per step.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelyard.decision import choose, running, stand
from steelyard.decision.standing import Standing
from steelyard.records.base import Record, from_json, to_json
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import Evidence, Failure, Paired, Probe, Quality, ServiceTime, Speed
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Outlook, Split

Rights = npt.NDArray[np.bool_]
QUANTILES = 21
"""Kept of each distribution of service times."""


class Row(Record):
    """One candidate."""

    candidate: Candidate
    outlook: Outlook
    look_s: float
    """Seconds of opening it, serving once and answering the first items."""
    steps: tuple[str, ...] = ()
    """Keys of what has to be built, one after the other."""
    load_s: float = 0.0
    memory_mb: float = 0.0
    failure: Failure | None = None
    service: tuple[ServiceTime, ...] = ()
    speed_s: float = 0.0
    """Seconds of timing it carefully."""


class Answered(Record):
    """What one kind of numerics answers."""

    right: str
    """One bit an item, base64: whether the answer is right."""
    item_s: float
    """Seconds an item."""


class Table(Record):
    """An exhaustive search, the reference first."""

    name: str
    machine: Machine
    requirements: Requirements
    split: Split
    rows: tuple[Row, ...]
    answered: dict[str, Answered]
    """By numerics."""
    steps_s: dict[str, float]
    """Seconds of building, by key."""

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.rows[0].candidate

    @property
    def exhaustive_s(self) -> float:
        """Seconds of measuring everything once: each step of building, each look and timing, each answer."""
        measured = sum(row.look_s + row.speed_s for row in self.rows)
        answers = sum(answered.item_s for answered in self.answered.values()) * self.split.total
        return measured + answers + sum(self.steps_s.values())

    def rights(self, numerics: str) -> Rights:
        """Whether each item is answered rightly: bool [items]."""
        return unpacked(self.answered[numerics].right, self.split.total)


def read_table(path: Path) -> Table:
    """The table in a file."""
    return from_json(path.read_bytes(), Table)


def write_table(table: Table, path: Path) -> None:
    """As JSON, without indentation."""
    path.write_bytes(to_json(table))


def packed(rights: Rights) -> str:
    """Eight items a byte, base64."""
    return base64.b64encode(np.packbits(rights).tobytes()).decode()


def unpacked(text: str, items: int) -> Rights:
    """What `packed` packed."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=items).astype(np.bool_)


def paired_quality(own: Rights, reference: Rights, start: int, *, identical: bool) -> Quality:
    """Accuracy beside the reference's on the same items."""
    return Quality(
        metric="accuracy",
        start=start,
        items=len(own),
        value=float(own.mean()),
        reference=float(reference.mean()),
        paired=Paired(
            both=int((own & reference).sum()),
            only_reference=int((~own & reference).sum()),
            only_candidate=int((own & ~reference).sum()),
            neither=int((~own & ~reference).sum()),
        ),
        identical=identical,
    )


class Truth:
    """What the table's full data say: who keeps the requirements, what each is worth, who would be chosen."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._reference = table.rights(table.reference.numerics)
        candidates = [row.candidate for row in table.rows]
        evidence = {row.candidate.id: self._evidence(row) for row in table.rows}
        standings = stand(candidates, evidence, table.requirements, Price(), table.split)
        self._standings = {s.candidate.id: s for s in standings}
        able = running([s for s in standings if self.is_feasible(s.candidate.id)])
        self.best = able[0].candidate.id
        """What is preferred when everything is known."""

    def _evidence(self, row: Row) -> Evidence:
        probe = Probe(build_s=0, load_s=row.load_s, memory_mb=row.memory_mb, failure=row.failure)
        if not row.service:
            return Evidence(candidate_id=row.candidate.id, probe=probe)
        numerics = row.candidate.numerics
        quality = paired_quality(
            self._table.rights(numerics), self._reference, 0, identical=numerics == self._table.reference.numerics
        )
        speed = Speed(service=row.service, reference_ratio=1.0)
        return Evidence(candidate_id=row.candidate.id, probe=probe, speed=speed, selected=quality)

    def is_feasible(self, name: str) -> bool:
        """Whether it keeps every requirement: the drop over all items, without any test."""
        standing, wanted = self._standings[name], self._table.requirements
        quality = standing.quality
        if quality is None or standing.speed is None or set(standing.breaks) - {"quality"}:
            return False
        drop_holds = wanted.quality_drop is None or quality.drop <= wanted.quality_drop
        return drop_holds and (wanted.quality_floor is None or quality.value >= wanted.quality_floor)

    def objective(self, name: str) -> float:
        """Requests per second; one over the latency when the priority is speed and requests are not all at hand."""
        standing = self._standings[name]
        wanted = self._table.requirements
        if wanted.priority == "speed" and wanted.scenario != "offline":
            return 1 / standing.latency_that_counts
        return standing.capacity

    def share(self, name: str | None) -> float:
        """Of the best objective; 0 for nothing chosen, or what breaks a requirement."""
        if name is None or not self.is_feasible(name):
            return 0.0
        return min(1.0, self.objective(name) / self.objective(self.best))

    @property
    def standings(self) -> Mapping[str, Standing]:
        """By id, with all that the table says."""
        return self._standings


def chosen_by(table: Table, evidence: Mapping[str, Evidence]) -> str | None:
    """What the decision chooses on this evidence."""
    candidates = [row.candidate for row in table.rows]
    found = choose(running(stand(candidates, evidence, table.requirements, Price(), table.split))).chosen
    return None if found is None else found.candidate.id
