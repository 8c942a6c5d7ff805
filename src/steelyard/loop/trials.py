"""One point of a search's space: weighed with fresh weights, then trained until its end, or until it has lost.

Cost comes first, since weights change nothing in it: who loses to cheaper networks can be stopped (`train.contest`),
and one that cannot keep a required latency is not trained at all.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from steelyard.errors import UsageError
from steelyard.loop.scales import Scales
from steelyard.records.base import digest, from_json, to_json
from steelyard.records.recipe import Recipe
from steelyard.records.searching import Serving, Tried
from steelyard.records.training import Epoch
from steelyard.train import checkpoint
from steelyard.train.contest import Course, goes_on
from steelyard.train.data import Prepare, prepare, read, with_default_steps
from steelyard.train.export import write_model
from steelyard.train.fitting import CHECKPOINT, fit, metric_of, seeded_network
from steelyard.train.recipes import changed, parsed
from steelyard.train.trained import Trained

ITEMS = 64
"""Answered while a network is timed."""
LOST = "stopped after epoch {epoch} of {epochs}: too many networks that cost no more had done better by then"


class Point(Protocol):
    """Settings that a search chose."""

    @property
    def key(self) -> str:
        """A hash of them."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Path in the recipe → value."""

    @property
    def told(self) -> str:
        """The same in a line."""


class Watch(Protocol):
    """Who is told how a search goes on."""

    def weighs(self, told: str) -> None:
        """It is being found out what a network takes to be served. `told`: its settings in a line."""

    def epoch(self, told: str, epoch: Epoch, epochs: int) -> None:
        """One more of `epochs`."""

    def ended(self, tried: Tried) -> None:
        """A network was trained to its end, stopped, or failed."""


class Unwatched:
    """Nobody is told."""

    def weighs(self, told: str) -> None:
        """Nothing."""

    def epoch(self, told: str, epoch: Epoch, epochs: int) -> None:
        """Nothing."""

    def ended(self, tried: Tried) -> None:
        """Nothing."""


class Trials:
    """Tries points. What it learns of a network before its end is kept in `folder`, and not found out twice."""

    def __init__(
        self, content: Mapping[str, Any], where: str, folder: Path, scales: Scales, watch: Watch, stop: threading.Event
    ) -> None:
        """`content`: the tables of the recipe `where`. Raises UsageError where networks could not be compared."""
        self._content = content
        self._where = where
        self._folder = folder
        self._scales = scales
        self._watch = watch
        self._stop = stop
        self._examples = read(parsed(content, where).data)
        self._data: dict[str, Prepare] = {}
        self.base, self.data = self.recipe({})
        self.metric = metric_of(self.base, self.data)
        if not len(self.data.validation):
            raise UsageError("a search compares networks on a validation part, and there is none", "[data] validation")

    @property
    def sign(self) -> float:
        """What the metric is multiplied by to be better the higher it is."""
        return -1.0 if self.metric.lower_is_better else 1.0

    def recipe(self, settings: Mapping[str, Any]) -> tuple[Recipe, Prepare]:
        """The recipe with these settings, and the data as it prepares them; those prepared last are kept."""
        recipe = with_default_steps(parsed(changed(self._content, settings), self._where), self._examples)
        key = digest(recipe.prepare)
        if key not in self._data:
            self._data = dict([*self._data.items()][-1:]) | {key: prepare(recipe, self._examples)}
        return recipe, self._data[key]

    def place_of(self, point: Point) -> Path:
        """The folder of a network that is being trained, or was."""
        return self._folder / "tried" / point.key

    def serving(self, point: Point, until: float) -> Serving:
        """Of the network with fresh weights: one timing for all that differ only in how they are trained.

        Raises CandidateFailure for one that cannot be served, OutOfTime when the time is up.
        """
        recipe, data = self.recipe(point.settings)
        place = self._folder / "weighed" / f"{digest(recipe.network, recipe.prepare)}.json"
        if place.is_file():
            return from_json(place.read_bytes(), Serving)
        self._watch.weighs(point.told)
        found = self._weighed(recipe, data, until)
        write_whole(place, to_json(found))
        return found

    def _weighed(self, recipe: Recipe, data: Prepare, until: float) -> Serving:
        network = seeded_network(recipe, data).eval()
        items = data.raw.validation.take(np.arange(min(ITEMS, len(data.raw.validation))))
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self._scales.folder) as scratch:
            model = write_model(network, data, items, Path(scratch))
            return self._scales.weigh(model, carefully=False, until=until)

    def train(self, point: Point, serving: Serving, others: Sequence[Course], until: float) -> tuple[Trained, str]:
        """The network, and why it was stopped; nothing: it came to its end. `others`: whom it competes with.

        Raises Interrupted when the time is up or somebody said so, and whatever `fit` raises.
        """
        recipe, data = self.recipe(point.settings)
        place = self.place_of(point)
        course = Course(serving.machine_ms, recipe.training.epochs)
        judge = _Judge(course, others, self.sign, lambda: self._stop.is_set() or time.monotonic() > until)
        judge.tell = lambda epoch: self._watch.epoch(point.told, epoch, course.epochs)
        judge.take_over(place / CHECKPOINT)
        trained = fit(recipe, folder=place, watch=judge, stop=judge.stop, prepared=data)
        return trained, judge.lost

    def again(self, point: Point) -> Trained:
        """A network that came to its end before."""
        recipe, data = self.recipe(point.settings)
        return fit(recipe, folder=self.place_of(point), prepared=data)


class _Judge:
    """Watches a network, and stops it when it has lost, or when it is time. See `train.progress.Watch`."""

    def __init__(self, course: Course, others: Sequence[Course], sign: float, is_time: Callable[[], bool]) -> None:
        self._course = course
        self._others = others
        self._sign = sign
        self._is_time = is_time
        self.tell: Callable[[Epoch], None] = lambda _: None
        self.stop = threading.Event()
        self.lost = ""

    def take_over(self, place: Path) -> None:
        """The epochs that an earlier run of the program made."""
        if place.is_file():
            for epoch in msgspec.convert(checkpoint.read(place)["course"]["epochs"], list[Epoch]):
                self._judge(epoch)

    def step(self, epoch: int, done: int, steps: int, loss: float) -> None:  # noqa: ARG002
        """Looks at the clock."""
        if self._is_time():
            self.stop.set()

    def epoch(self, epoch: Epoch, is_best: bool) -> bool:  # noqa: ARG002
        """Looks at the others."""
        self._judge(epoch)
        self.tell(epoch)
        return not self.lost

    def _judge(self, epoch: Epoch) -> None:
        self._course.add(self._sign * (epoch.validation or 0.0))
        if not goes_on(self._course, self._others):
            self.lost = LOST.format(epoch=epoch.number, epochs=self._course.epochs)


def write_whole(place: Path, content: bytes) -> None:
    """All of it or nothing, whatever happens meanwhile."""
    fresh = place.with_name(f"{place.name}.new")
    fresh.write_bytes(content)
    fresh.replace(place)
