"""What a network takes to be served: its exported file, timed by the same code as `steelyard weigh` times with.

Of the ways to run a file, those that change nothing in it are tried, in the engines that are made for serving.
Carefully: all batches, with all cores busy, one thread for each stream. Roughly: some batches on one stream alone, and
all cores count as so many of it, which is about the best that they reach together, and hardly moves while the machine
has other work to do. So a search that weighs carefully whatever looks good by a rough weighing misses little. Each
batch is timed in several rounds until the two quickest timings agree: whatever else the machine does only slows it.
Quantising and the like come after: `steelyard weigh` finds out for a network of the front what it still gains.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from steelyard.decision.worth import capacity_of
from steelyard.errors import CandidateFailure
from steelyard.loop import order
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.process import Limits
from steelyard.measure.speed import batch_sizes
from steelyard.measure.workbench import Workbench
from steelyard.records.candidate import Candidate
from steelyard.records.data import DataSpec
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Requirements
from steelyard.records.searching import Serving
from steelyard.subjects.among import Part
from steelyard.subjects.model import ModelSubject
from steelyard.train.export import SETTINGS

ENGINES = ("onnxruntime", "openvino", "onnxruntime-cuda")
PRECISION = "f32"
LOOKED_AT = 8
"""Items answered before anything is timed."""
FILES = ("source", "tokenizer")
USABLE_MEMORY = 0.8
SECONDS = 120.0
"""No single step may take longer."""
METRIC = "agreement"
"""Judges nothing here, but needs no labels."""


class Effort(NamedTuple):
    """How batches are timed."""

    all_cores: bool
    """Or one of them, alone."""
    every: bool
    """All batches, or only one item, a few, and the largest."""
    seconds: float
    """For one batch in one round."""
    rounds: int
    """At most."""

    def batches(self, most: int) -> list[int]:
        """Which are timed."""
        return batch_sizes(most) if self.every else sorted({1, min(FEW, most), most})


FEW = 8
ROUGH = Effort(all_cores=False, every=False, seconds=0.1, rounds=4)
CAREFUL = Effort(all_cores=True, every=True, seconds=0.2, rounds=6)
AGREE = 1.05
"""The two quickest timings of a batch, one over the other, when they are taken for the truth."""


Timings = dict[int, list[ServiceTime]]
"""Batch → all its timings, the quickest first."""


def _spread(timings: Sequence[ServiceTime]) -> float:
    """How far apart the two quickest lie, one over the other."""
    return timings[1].median_ms / timings[0].median_ms


class Scales:
    """Weighs networks on this machine, one after the other."""

    def __init__(self, folder: Path, requirements: Requirements, stop: threading.Event) -> None:
        """`folder`: for what is kept meanwhile."""
        self.folder = folder
        self.machine = this_machine()
        limits = Limits(memory_mb=int(self.machine.memory_mb * USABLE_MEMORY), seconds=SECONDS)
        self._workspace = Workspace(folder, limits, stop)
        self._requirements = requirements
        self._stop = stop

    def weigh(self, model: Path, *, carefully: bool, until: float = math.inf) -> Serving:
        """The way in which a network serves most requests; beside it lies what `train.export.write_model` wrote.

        Raises CandidateFailure when no engine runs it, OutOfTime at `until` of the monotonic clock, and InputError for
        a file that is no sound model.
        """
        info = self._workspace.inspect(model)
        prepared = self._workspace.prepare(self._items_beside(model), info, classes=None)
        whole = ModelSubject(info, prepared, METRIC, self.machine, patient=False)
        effort, work, ways = CAREFUL if carefully else ROUGH, self._workspace, _ways(whole)
        subject = Part(whole, ways if effort.all_cores else [msgspec.structs.replace(way, streams=1) for way in ways])
        with Workbench(subject, work.folder, work.limits, self._stop) as bench:
            bench.until(until)
            opened = {each.id: bench.probe(each, LOOKED_AT)[0] for each in subject.candidates()}
            running = [each for each in subject.candidates() if opened[each.id].failure is None]
            if not running:
                failures = (probe.failure.message for probe in opened.values() if probe.failure is not None)
                raise CandidateFailure("unsupported", f"no engine serves it: {'; '.join(failures)}")
            timed = self._timed(bench, running, effort)
        found = [self._serving(each, timed[each], opened[each.id].memory_mb) for each in running]
        return max(found, key=lambda serving: (serving.capacity_per_s, -serving.item_ms))

    def _timed(self, bench: Workbench, among: Sequence[Candidate], effort: Effort) -> dict[Candidate, Timings]:
        """They take turns, so that a busy moment is nobody's alone."""
        timed: dict[Candidate, Timings] = {
            each: {batch: [] for batch in effort.batches(each.max_batch)} for each in among
        }
        for number in range(effort.rounds):
            for candidate, timings in timed.items():
                for batch, own in timings.items():
                    if number < 2 or _spread(own) > AGREE:
                        own.append(bench.glance(candidate, batch, effort.seconds))
                        own.sort(key=lambda one: one.median_ms)
        return timed

    def _serving(self, candidate: Candidate, timings: Timings, memory_mb: float) -> Serving:
        service = tuple(own[0] for own in timings.values())
        serves = msgspec.structs.replace(candidate, streams=max(candidate.streams, self.machine.cores))
        return Serving(
            candidate=serves.id,
            capacity_per_s=capacity_of(serves, service, self._requirements),
            item_ms=service[0].median_ms,
            memory_mb=memory_mb,
            service=service,
            spread=statistics.median(_spread(own) for own in timings.values()),
        )

    def _items_beside(self, model: Path) -> DataSpec:
        """What to ask the network, by the settings beside it. Items may repeat themselves: they judge nothing."""
        settings = tomllib.loads(model.with_name(SETTINGS).read_text(encoding="utf-8"))["data"]
        files = {name: self._kept(model.with_name(settings.pop(name))) for name in FILES if name in settings}
        words = settings | {"data": files.pop("source"), **files}
        return msgspec.structs.replace(order.data(words), duplicates="keep")

    def _kept(self, file: Path) -> str:
        """A copy under the hash of what is in it: the same items need not be prepared for each network."""
        place = self.folder / f"items-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}{file.suffix}"
        if not place.exists():
            shutil.copyfile(file, place)
        return str(place)


def _ways(subject: ModelSubject) -> list[Candidate]:
    """The file as it is, in each engine; where that is all the machine can do, the reference."""
    plain = [
        candidate
        for candidate in subject.candidates()
        if (candidate.variant, candidate.precision) == ("original", PRECISION)
        and candidate.runtime in ENGINES
        and (candidate.threads, candidate.instances) == (1, 1)
    ]
    return plain or [subject.candidates()[0]]
