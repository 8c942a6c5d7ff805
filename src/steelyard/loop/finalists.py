"""The front of a search: its networks weighed once more, as they were trained, judged on the test, and exported."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steelyard.loop.scales import Scales
from steelyard.loop.training import finish
from steelyard.loop.trials import Trials, write_whole
from steelyard.records.base import from_json, to_json
from steelyard.records.evaluation import Evaluation
from steelyard.records.searching import Serving, Tried
from steelyard.train.contest import front
from steelyard.train.export import EVALUATION, MODEL

FOLDER = "front"
EFFORT = 1.0


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

    def __init__(self, trials: Trials, scales: Scales, out: Path) -> None:
        self._trials = trials
        self._scales = scales
        self._out = out

    def settled(self, finished: Mapping[int, Tried]) -> list[Finalist]:
        """The front, the cheapest first, each in a folder of its own; folders of those that left it are removed.

        To be weighed again may move a network off the front, or give its place to others, which are weighed in turn.
        """
        known: dict[int, Finalist] = {}
        while True:
            chosen = front({number: self._place(tried, known) for number, tried in finished.items()})
            fresh = [number for number in chosen if number not in known]
            if not fresh:
                self._remove_others(finished, chosen)
                return [known[number] for number in chosen]
            known |= {number: self._finalist(finished[number]) for number in fresh}

    def _place(self, tried: Tried, known: Mapping[int, Finalist]) -> tuple[float, float]:
        """Quality and cost, as well as they are known."""
        serving = known[tried.number].serving if tried.number in known else tried.serving
        return self._trials.sign * (tried.validation or 0.0), serving.machine_ms if serving else float("inf")

    def folder_of(self, number: int) -> Path:
        """Where a network of the front is."""
        return self._out / FOLDER / str(number)

    def _finalist(self, tried: Tried) -> Finalist:
        folder, weighed = self.folder_of(tried.number), self._out / "weighed" / f"{tried.key}.json"
        if not (folder / MODEL).is_file() or not (folder / "report.html").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            finish(self._trials.again(tried), folder)
        if not weighed.is_file():
            write_whole(weighed, to_json(self._scales.weigh(folder / MODEL, EFFORT)))
        evaluation = from_json((folder / EVALUATION).read_bytes(), Evaluation)
        return Finalist(tried, from_json(weighed.read_bytes(), Serving), evaluation)

    def _remove_others(self, finished: Mapping[int, Tried], chosen: list[int]) -> None:
        for folder in (self._out / FOLDER).glob("*"):
            if folder.name not in map(str, chosen):
                shutil.rmtree(folder)
        for number, tried in finished.items():
            if number not in chosen:
                shutil.rmtree(self._trials.place_of(tried), ignore_errors=True)
