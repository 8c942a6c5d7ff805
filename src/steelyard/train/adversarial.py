"""Training a pair: the discriminator learns to tell real pictures from made ones, the generator to pass for real.

I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014 (arXiv 1406.2661), algorithm 1, with one step of each
in turn. As in the one loop for single networks (`loop.py`), what a step draws hangs on seed, epoch and step alone, so
that a run that was interrupted goes on exactly.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError, Diverged, Interrupted, UsageError
from steelyard.machines.here import this_machine
from steelyard.networks import optimisers, schedules
from steelyard.networks.dcgan import Discriminator, Generator
from steelyard.networks.ema import WeightAverage
from steelyard.networks.losses import discriminator_loss, generator_loss
from steelyard.networks.shapes import ImageShape
from steelyard.records.base import digest
from steelyard.records.generating import PairEpoch, PairRun
from steelyard.records.recipe import Recipe, Training
from steelyard.records.spelling import did_you_mean
from steelyard.records.training import Epoch
from steelyard.train import checkpoint, luck
from steelyard.train.data import Prepare, prepare, read
from steelyard.train.fitting import CHECKPOINT, order_of, versions
from steelyard.train.loop import SAVE_EVERY_S
from steelyard.train.pairs import DCGAN
from steelyard.train.progress import Nobody, Watch

HALF = 127.5
"""Pixels 0 … 255 are -1 … 1 to both networks."""
AT_ONCE = 500
"""Pictures that are made at once."""
HEARD = ("epochs", "batch", "average")
"""What of [training] a pair knows."""
OPTIONS = ("noise", "width")
"""Of the network."""


@dataclass(frozen=True)
class Pair:
    """A generator that was trained, with the discriminator that taught it."""

    generator: Generator
    discriminator: Discriminator
    data: Prepare
    run: PairRun

    def sample(self, classes: Array, seed: int = 0) -> Array:
        """A picture of each of these class numbers, uint8 [n, height, width, channels]; a seed means the same."""
        noise = torch.randn(len(classes), self.generator.noise, generator=luck.generator_of(seed))
        asked = torch.from_numpy(np.asarray(classes, np.int64))
        with torch.inference_mode():
            made = [self.generator(*part) for part in zip(noise.split(AT_ONCE), asked.split(AT_ONCE), strict=True)]
        pixels = ((torch.cat(made) + 1) * HALF).round().clamp(0, 255).to(torch.uint8)
        return np.asarray(pixels.permute(0, 2, 3, 1).numpy())


@dataclass
class _Course:
    """How far a run has come."""

    epoch: int = 0
    step: int = 0
    generator_sum: float = 0.0
    discriminator_sum: float = 0.0
    seconds: float = 0.0
    epochs: list[PairEpoch] = field(default_factory=list)


def fit_pair(
    recipe: Recipe,
    data: Examples | None = None,
    *,
    folder: Path | None = None,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> Pair:
    """Train the recipe's pair on the pictures of its training part. See `fitting.fit` for what the words mean.

    Raises UsageError for a recipe that makes no sense for a pair, DataError for what are no pictures, Diverged when a
    loss is lost, Interrupted when it was stopped.
    """
    check(recipe)
    examples = read(recipe.data) if data is None else data
    if examples.kind != "images" or examples.inputs["image"].dtype != np.uint8:
        raise DataError(f"a pair learns to make pictures of pixels, the data are {examples.kind}", "name other data")
    prepared = prepare(recipe, examples)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return PairLoop(recipe, prepared, folder, watch or Nobody(), stop or threading.Event()).run()


def check(recipe: Recipe) -> None:
    """Raises UsageError for settings that mean nothing to a pair."""
    usual, said = Training(), recipe.training
    strange = [f"[training] {name}" for name in Training.__struct_fields__
               if name not in HEARD and getattr(said, name) != getattr(usual, name)]  # fmt: skip
    strange += ["[[prepare]]"] * bool(recipe.prepare) + ["[[augment]]"] * bool(recipe.augment)
    strange += ["[privacy]"] * (recipe.privacy is not None)
    if recipe.loss is not None and recipe.loss.name != "adversarial":
        strange.append(f'[loss] name = "{recipe.loss.name}"')
    if strange:
        raise UsageError(f"{strange[0]} means nothing to {DCGAN}", "leave it out")
    wrong = next((name for name in recipe.network.options if name not in OPTIONS), None)
    if wrong is not None:
        raise UsageError(f"{DCGAN} has no option {wrong!r}", did_you_mean(wrong, OPTIONS))


class PairLoop:
    """One run."""

    def __init__(self, recipe: Recipe, data: Prepare, folder: Path | None, watch: Watch, stop: threading.Event) -> None:
        shape = data.shape
        assert isinstance(shape, ImageShape)  # noqa: S101 - for the type checker: there are pictures
        luck.settle(recipe.seed)
        classes, sizes = len(data.told.classes), dict(recipe.network.options)
        self.generator = Generator(shape, classes, **sizes)
        sizes.pop("noise", None)
        self.discriminator = Discriminator(shape, classes, **sizes)
        self._optimisers = [
            optimisers.make(recipe.optimiser.name, each, **recipe.optimiser.options)
            for each in (self.generator, self.discriminator)
        ]
        self._average = WeightAverage(self.generator, recipe.training.average) if recipe.training.average else None
        self._saturating = bool((recipe.loss.options if recipe.loss else {}).get("saturating", False))
        self._schedule = schedules.make(recipe.schedule.name, **recipe.schedule.options)
        self._recipe, self._data, self._watch, self._stop = recipe, data, watch, stop
        self._order = order_of(recipe.balance, data, recipe.training.batch)
        pixels = torch.from_numpy(np.ascontiguousarray(data.training.inputs["image"].transpose(0, 3, 1, 2)))
        self._real = pixels.float() / HALF - 1
        self._classes = torch.from_numpy(np.asarray(data.training.targets))
        self._place = None if folder is None else folder / CHECKPOINT
        self._identity = digest(recipe, data.told.sha256)
        self._course, self._saved = _Course(), time.monotonic()

    def run(self) -> Pair:
        """Until all epochs are made; from the checkpoint on if there is one."""
        self._resume()
        while self._course.epoch < self._recipe.training.epochs:
            self._epoch()
        if self._average is not None:
            self.generator.load_state_dict(self._average.state_dict()["average"])
        self.generator.eval()
        return Pair(self.generator, self.discriminator.eval(), self._data, self._told())

    def _epoch(self) -> None:
        course, seed = self._course, self._recipe.seed
        batches = self._order(luck.generator_of(seed, course.epoch))
        while course.step < len(batches):
            began = time.monotonic()
            self._set_rates((course.epoch + course.step / len(batches)) / self._recipe.training.epochs)
            losses = self._step(batches[course.step], luck.generator_of(seed, course.epoch, course.step))
            course.step += 1
            course.generator_sum += losses[0]
            course.discriminator_sum += losses[1]
            course.seconds += time.monotonic() - began
            self._watch.step(course.epoch + 1, course.step, len(batches), losses[0])
            if time.monotonic() - self._saved >= SAVE_EVERY_S:
                self._save()
            self._end_when_told()
        self._end_epoch(len(batches))

    def _step(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[float, float]:
        """One of each. Returns the generator's and the discriminator's loss."""
        real, classes = self._real[rows], self._classes[rows]
        noise = torch.randn(len(rows), self.generator.noise, generator=generator)
        of_generator, of_discriminator = self._optimisers
        made = self.generator(noise, classes)
        told = discriminator_loss(self.discriminator(real, classes), self.discriminator(made.detach(), classes))
        of_discriminator.zero_grad()
        told.backward()
        of_discriminator.step()
        passed = generator_loss(self.discriminator(made, classes), self._saturating)
        of_generator.zero_grad()
        passed.backward()
        of_generator.step()
        if self._average is not None:
            self._average.update(self.generator)
        losses = float(passed.detach()), float(told.detach())
        if not all(map(math.isfinite, losses)):
            rate = of_generator.param_groups[0].get("initial_lr", 0.0)
            raise Diverged(f"the losses of the pair are {losses}", f"try [optimiser] rate = {rate / 10:.2g}")
        return losses

    def _set_rates(self, done: float) -> None:
        for each in self._optimisers:
            schedules.set_rate(each, self._schedule(done))

    def _end_epoch(self, steps: int) -> None:
        course = self._course
        epoch = PairEpoch(
            number=course.epoch + 1,
            steps=steps,
            generator_loss=course.generator_sum / steps,
            discriminator_loss=course.discriminator_sum / steps,
            seconds=course.seconds - sum(each.seconds for each in course.epochs),
        )
        course.epochs.append(epoch)
        course.epoch, course.step, course.generator_sum, course.discriminator_sum = epoch.number, 0, 0.0, 0.0
        self._save()
        rate = float(self._optimisers[0].param_groups[0]["lr"])
        heard = Epoch(
            number=epoch.number, steps=steps, loss=epoch.generator_loss, validation_loss=None, validation=None,
            rate=rate, seconds=epoch.seconds,
        )  # fmt: skip
        self._watch.epoch(heard, False)
        self._end_when_told()

    def _end_when_told(self) -> None:
        if self._stop.is_set():
            self._save()
            hint = "the same command goes on from there" if self._place else ""
            raise Interrupted(f"stopped in epoch {self._course.epoch + 1}", hint)

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._place is None:
            return
        course = vars(self._course) | {"epochs": msgspec.to_builtins(self._course.epochs)}
        state: dict[str, Any] = {
            "identity": self._identity,
            "course": course,
            "networks": [self.generator.state_dict(), self.discriminator.state_dict()],
            "optimisers": [each.state_dict() for each in self._optimisers],
            "average": None if self._average is None else self._average.state_dict(),
        }
        checkpoint.write(self._place, state)

    def _resume(self) -> None:
        if self._place is None or not self._place.is_file():
            return
        state = checkpoint.read(self._place)
        checkpoint.check_identity(state, self._identity, self._place)
        of_generator, of_discriminator = state["networks"]
        self.generator.load_state_dict(of_generator)
        self.discriminator.load_state_dict(of_discriminator)
        for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
            checkpoint.restore(optimiser, kept)
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        course = state["course"]
        self._course = _Course(**course | {"epochs": msgspec.convert(course["epochs"], list[PairEpoch])})

    def _told(self) -> PairRun:
        counts = [sum(p.numel() for p in each.parameters()) for each in (self.generator, self.discriminator)]
        return PairRun(
            recipe=self._recipe,
            data=self._data.told,
            parameters=(counts[0], counts[1]),
            epochs=tuple(self._course.epochs),
            versions=versions(),
            machine=this_machine(),
            threads=torch.get_num_threads(),
            seconds=self._course.seconds,
        )
