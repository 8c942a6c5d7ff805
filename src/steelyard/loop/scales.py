"""What a network takes to be served: its exported file, timed by the same code as `steelyard weigh` times with.

Of the ways to run a file, those that change nothing in it are tried, in the engines that are made for serving, with all
cores busy and one thread for each stream. The best of them is timed twice, and the quicker timing counts: whatever else
the machine does only slows it. Quantising and the like come after: `steelyard weigh` finds out for a network of the
front what it still gains.
"""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path

import msgspec

from steelyard.decision.worth import capacity_of
from steelyard.errors import CandidateFailure
from steelyard.loop import order
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.process import Limits
from steelyard.measure.workbench import Workbench
from steelyard.records.candidate import Candidate
from steelyard.records.data import DataSpec
from steelyard.records.requirements import Requirements
from steelyard.records.searching import Serving
from steelyard.subjects.model import ModelSubject
from steelyard.train.export import SETTINGS

ENGINES = ("onnxruntime", "openvino", "onnxruntime-cuda")
PRECISION = "f32"
LOOKED_AT = 8
"""Items answered before anything is timed."""
QUIET_S = 0.3
USABLE_MEMORY = 0.8
SECONDS = 120.0
"""No single step may take longer."""
METRIC = "agreement"
"""Judges nothing here, but needs no labels."""


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

    def weigh(self, model: Path, effort: float) -> Serving:
        """The way in which a network serves most requests; beside it lies what `train.export.write_model` wrote.

        `effort` 1.0: timed as long as a search of `weigh` would.
        Raises CandidateFailure when no engine runs it, and InputError for a file that is no sound model.
        """
        info = self._workspace.inspect(model)
        prepared = self._workspace.prepare(_items_beside(model), info, classes=None)
        subject = ModelSubject(info, prepared, METRIC, self.machine, patient=False)
        work = self._workspace
        with Workbench(subject, work.folder, work.limits, self._stop) as bench:
            opened = bench.probe(bench.reference, LOOKED_AT)[0]
            if opened.failure is not None:
                raise CandidateFailure(opened.failure.kind, f"no engine serves it: {opened.failure.message}")
            quiet_ms = bench.glance(bench.reference, 1, QUIET_S).median_ms
            found = [self._timed(bench, candidate, quiet_ms, effort) for candidate in _ways(subject)]
            best = max((each for each in found if each), key=_speed)
            again = next(candidate for candidate in _ways(subject) if candidate.id == best.candidate)
            return max(best, self._timed(bench, again, quiet_ms, effort) or best, key=_speed)

    def _timed(self, bench: Workbench, candidate: Candidate, quiet_ms: float, effort: float) -> Serving | None:
        """None: this engine does not run it."""
        probe, _ = bench.probe(candidate, LOOKED_AT)
        if probe.failure is not None:
            return None
        speed = bench.speed(candidate, quiet_ms, effort)
        return Serving(
            candidate=candidate.id,
            capacity_per_s=capacity_of(candidate, speed.service, self._requirements),
            item_ms=speed.service[0].median_ms,
            memory_mb=probe.memory_mb,
            service=speed.service,
            reference_ratio=speed.reference_ratio,
        )


def _speed(serving: Serving) -> tuple[float, float]:
    return serving.capacity_per_s, -serving.item_ms


def _items_beside(model: Path) -> DataSpec:
    """What to ask the network, by the settings beside it. Items may repeat themselves: nothing is judged by them."""
    settings = tomllib.loads(model.with_name(SETTINGS).read_text(encoding="utf-8"))["data"]
    files = {name: str(model.with_name(settings.pop(name))) for name in ("source", "tokenizer") if name in settings}
    words = settings | {"data": files.pop("source"), **files}
    return msgspec.structs.replace(order.data(words), duplicates="keep")


def _ways(subject: ModelSubject) -> list[Candidate]:
    """The file as it is, in each engine; where that is all the machine can do, the reference."""
    plain = [
        candidate
        for candidate in subject.candidates()
        if (candidate.variant, candidate.precision) == ("original", PRECISION)
        and candidate.runtime in ENGINES
        and (candidate.threads, candidate.instances) == (1, 1)
    ]
    return plain or list(subject.candidates()[:1])
