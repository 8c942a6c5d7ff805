"""The front of a search: its networks weighed once more, as they were trained, judged on the test, and exported."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from steelyard.loop.scales import Scales
from steelyard.loop.training import REPORT, finish
from steelyard.loop.trials import Trials, Watch, write_whole
from steelyard.records.base import digest, from_json, to_json
from steelyard.records.evaluation import Evaluation
from steelyard.records.searching import Serving, Tried
from steelyard.train.contest import front
from steelyard.train.export import EVALUATION, MODEL

FOLDER = "front"


@dataclass(frozen=True)
class Finalist:
    """A network of the front."""

    tried: Tried
    serving: Serving
    """As it was trained."""
    evaluation: Evaluation
    """On the test, or on what there is in its place."""


class Finalists:
    """Finds the front among the networks that came to their end."""

    def __init__(self, trials: Trials, scales: Scales, out: Path, watch: Watch) -> None:
        self._trials = trials
        self._scales = scales
        self._out = out
        self._watch = watch
        self._again: dict[Serving | None, Serving] = {}
        """By the rough weighing, which networks alike share, the careful one of a network as it was trained."""

    def settled(self, finished: Mapping[int, Tried]) -> list[Finalist]:
        """The front, the cheapest first, each in a folder of its own; folders of those that left it are removed.

        To be weighed again may move a network off the front, or give its place to others, which are weighed in turn.
        """
        while True:
            chosen = front({number: self._place(tried) for number, tried in finished.items()})
            fresh = [finished[number] for number in chosen if finished[number].serving not in self._again]
            if not fresh:
                break
            self._again |= {one.serving: self._weighed(one) for one in fresh}
        self._remove_others(finished, chosen)
        return [self._finalist(finished[number]) for number in chosen]

    def as_weighed(self, tried: Tried) -> Tried:
        """With what was measured last, of it or of one that differs only in how it was trained."""
        return msgspec.structs.replace(tried, serving=self._again.get(tried.serving, tried.serving))

    def _place(self, tried: Tried) -> tuple[float, float]:
        """Quality and cost, as well as they are known."""
        serving = self.as_weighed(tried).serving
        return self._trials.sign * (tried.validation or 0.0), serving.machine_ms if serving else float("inf")

    def _weighed(self, tried: Tried) -> Serving:
        place = self._out / "weighed" / f"{digest(tried.serving)}.json"
        if not place.is_file():
            self._watch.weighs(f"network {tried.number} once more, as it was trained")
            write_whole(place, to_json(self._scales.weigh(self._exported(tried) / MODEL, carefully=True)))
        return from_json(place.read_bytes(), Serving)

    def _exported(self, tried: Tried) -> Path:
        """Its folder; what is written last tells whether it is whole."""
        folder = self._out / FOLDER / str(tried.number)
        if not (folder / REPORT).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            finish(self._trials.again(tried), folder)
        return folder

    def _finalist(self, tried: Tried) -> Finalist:
        judged = (self._exported(tried) / EVALUATION).read_bytes()
        return Finalist(tried, self._again[tried.serving], from_json(judged, Evaluation))

    def _remove_others(self, finished: Mapping[int, Tried], chosen: list[int]) -> None:
        for folder in (self._out / FOLDER).glob("*"):
            if folder.name not in map(str, chosen):
                shutil.rmtree(folder)
        for number, tried in finished.items():
            if number not in chosen:
                shutil.rmtree(self._trials.place_of(tried), ignore_errors=True)
