"""The bundle holds the files of every rung, also of those that are not on the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from made_up import REFERENCE, candidate, evidence, service, weighing
from steelyard.bundle import BUILT, read_bundle
from steelyard.decision import decide
from steelyard.ladder import figures_of
from steelyard.loop.weigh import bundle_of
from steelyard.measure.workbench import Workbench
from steelyard.records.base import to_json
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.plan import SearchFigures
from steelyard.records.requirements import Latency, Requirements

MIDDLE, FAST = (candidate(name, threads=1, streams=2) for name in ("middle", "fast"))
BOLD, LOST = candidate("bold"), candidate("lost", threads=1, streams=2)
FOUND = {
    REFERENCE: evidence(REFERENCE, service(5, 4, [1])),
    MIDDLE: evidence(MIDDLE, service(2, 4), worse=0.001),
    BOLD: evidence(BOLD, service(0.5, 1.6), worse=0.0005),
    FAST: evidence(FAST, service(1, 2), worse=0.003),
    LOST: evidence(LOST, service(1, 2), worse=0.3),
}


class Files:
    """A workbench that has a file of each variant, once it is built."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.subject = self
        self.reference = REFERENCE

    def candidates(self) -> Sequence[Candidate]:
        return list(FOUND)

    def build(self, candidate: Candidate) -> None:
        place = self.built_folder(candidate)
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.onnx").write_text(candidate.variant)
        (place / BUILT).write_bytes(to_json({"main": "model.onnx"}))

    def built_folder(self, candidate: Candidate) -> Path:
        return self._folder / candidate.variant


def test_every_rung_has_its_files(tmp_path: Path) -> None:
    requirements = Requirements(quality_drop=0.01, scenario="server", latency=Latency(percentile=95, bound_ms=60))
    figures = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)
    told: dict[str, Any] = {one.id: each for one, each in FOUND.items()}
    plan = decide(weighing(list(FOUND)), told, requirements, Price(), search=figures, version="0", created="now")
    assert MIDDLE.id not in plan.front
    assert list(plan.ladder) == [MIDDLE.id, FAST.id]
    bundle = bundle_of(plan, cast("Workbench", Files(tmp_path / "built")), tmp_path / "bundle")
    again = read_bundle(bundle.folder)
    assert [again.main(rung.candidate.variant).read_text() for rung in figures_of(again.plan)] == ["middle", "fast"]
    assert set(again.plan.artefacts) == {"original", "bold", "middle", "fast"}
