"""The loop: through the training part epoch by epoch, validate, keep the best, and be ready to go on after any end.

What a step draws depends only on the recipe's seed and where the step stands (`luck.py`), so a run that was killed goes
on from its last checkpoint exactly as it would have. Over several processes each step's batch is divided among them:
the same recipe makes the same steps, however many take part.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from steelyard.errors import Diverged, Interrupted
from steelyard.metrics import Metric
from steelyard.networks import schedules
from steelyard.networks.ema import WeightAverage
from steelyard.networks.losses import Loss
from steelyard.records.recipe import Training
from steelyard.records.training import Epoch
from steelyard.train import checkpoint, luck
from steelyard.train.items import Items
from steelyard.train.order import Order
from steelyard.train.progress import Nobody, Watch
from steelyard.train.room import room_for
from steelyard.train.stepping import Augment, Lasting, Stepper

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVE_EVERY_S = 60.0
"""Within an epoch; after each epoch as well."""
WORSE_THAN_AT_FIRST = 3.0
"""A loss that has grown by this factor over an epoch will not come back."""
VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Task:
    """All that is needed to train."""

    network: torch.nn.Module
    """As the user made it; `stepper` may hold the same weights in a wrapper of its own."""
    stepper: Stepper
    optimiser: torch.optim.Optimizer
    schedule: schedules.Schedule
    loss: Loss
    training: Items
    validation: Items | None
    order: Order
    metric: Metric
    terms: Training
    seed: int
    identity: str
    """A hash of all that a run must have in common with the one it goes on from."""
    augment: Augment | None = None
    watch: Watch = field(default_factory=Nobody)
    checkpoint: Path | None = None
    beside: Lasting | None = None
    """What a run has to remember beside all this when it is interrupted."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Once it is set, what was learnt is kept and the run is over. Over several processes, after the epoch."""


@dataclass
class Course:
    """How far a run has come."""

    epoch: int = 0
    """Epochs that are over."""
    step: int = 0
    """Steps of the next one that are made."""
    loss_sum: float = 0.0
    """Over the items of these steps."""
    first_loss: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    kept: int = 0
    """The epoch whose weights are kept."""
    stopped: str = ""


@dataclass(frozen=True)
class Learnt:
    """What a run ends with. The weights are in the task's network."""

    epochs: tuple[Epoch, ...]
    kept: int
    stopped: str
    seconds: float
    cpu_seconds: float


class Loop:
    """One run. Every process of it has one."""

    def __init__(self, fabric: Fabric, task: Task) -> None:
        self._fabric = fabric
        self._task = task
        self._course = Course()
        self._average = None if task.terms.average is None else WeightAverage(task.network, task.terms.average)
        self._best: dict[str, Any] = {}
        self._saved = time.monotonic()
        self._counted = time.monotonic(), time.process_time()

    def run(self) -> Learnt:
        """Train until the epochs are over, or it was better to stop; go on from the checkpoint if there is one.

        Raises Diverged when the loss is lost, DataError for a checkpoint that belongs to something else.
        """
        self._resume()
        course, terms = self._course, self._task.terms
        while not self._is_over():
            self._epoch()
        self._task.network.load_state_dict(self._best)
        stopped = course.stopped or f"all {terms.epochs} epochs were made"
        return Learnt(tuple(course.epochs), course.kept, stopped, course.seconds, course.cpu_seconds)

    def _is_over(self) -> bool:
        return self._course.epoch >= self._task.terms.epochs or bool(self._course.stopped)

    def _epoch(self) -> None:
        course, task = self._course, self._task
        batches = task.order(luck.generator_of(task.seed, course.epoch))
        steps = len(batches)
        while course.step < steps:
            rows = batches[course.step]
            loss = self._step(rows, course.step / steps)
            course.step += 1
            course.loss_sum += loss * len(rows)
            if self._fabric.is_global_zero:
                task.watch.step(course.epoch + 1, course.step, steps, loss)
            self._save_now_and_then()
            if self._fabric.world_size == 1:
                self._end_when_told()
        self._end_epoch(steps, course.loss_sum / max(sum(map(len, batches)), 1))

    def _end_when_told(self) -> None:
        course, hint = self._course, "the same command goes on from there" if self._task.checkpoint else ""
        if self._fabric.broadcast(self._task.stop.is_set()):
            self._save()
            where = f"in epoch {course.epoch + 1}" if course.step else f"after epoch {course.epoch}"
            raise Interrupted(f"stopped {where}", hint)

    def _step(self, rows: torch.Tensor, done: float) -> float:
        """The mean loss over these rows of the training part."""
        task, course = self._task, self._course
        place = (task.seed, course.epoch, course.step)
        luck.settle(*place, self._fabric.global_rank)
        share = rows[self._fabric.global_rank :: self._fabric.world_size]
        batch = task.training.take(share)
        if task.augment is not None:
            batch = task.augment(batch, luck.generator_of(*place, self._fabric.global_rank))
        schedules.set_rate(task.optimiser, task.schedule((course.epoch + done) / task.terms.epochs))
        try:
            with room_for(len(share)):
                loss = task.stepper.step(batch)
        except Diverged as error:
            where = f"epoch {course.epoch + 1}, step {course.step + 1} (items {_some(share)})"
            raise Diverged(f"{error.message} in {where}", error.hint) from None
        if self._average is not None:
            self._average.update(task.network)
        course.first_loss = course.first_loss or loss
        return loss

    def _end_epoch(self, steps: int, loss: float) -> None:
        course, task = self._course, self._task
        self._count_time()
        epoch = Epoch(
            number=course.epoch + 1,
            steps=steps,
            loss=loss,
            rate=float(task.optimiser.param_groups[0]["lr"]),
            seconds=course.seconds - sum(each.seconds for each in course.epochs),
            **self._validated(),
        )
        course.epochs.append(epoch)
        self._check_loss(loss)
        is_best = self._keep(epoch)
        goes_on = self._fabric.broadcast(task.watch.epoch(epoch, is_best) if self._fabric.is_global_zero else True)
        course.epoch, course.step, course.loss_sum = course.epoch + 1, 0, 0.0
        course.stopped = self._reason_to_stop(epoch.number, goes_on)
        self._count_time()
        self._save()
        self._end_when_told()

    def _validated(self) -> dict[str, float | None]:
        """By the leading process, with the averaged weights where there are any."""
        task, found = self._task, None
        if task.validation is not None and self._fabric.is_global_zero:
            if self._average is None:
                found = validate(task.network, task.validation, task.loss, task.metric)
            else:
                with self._average.applied(task.network):
                    found = validate(task.network, task.validation, task.loss, task.metric)
        found = self._fabric.broadcast(found)
        return {"validation_loss": found and found[0], "validation": found and found[1]}

    def _check_loss(self, loss: float) -> None:
        first = self._course.first_loss
        if loss > WORSE_THAN_AT_FIRST * abs(first) + 1:
            rate = self._task.optimiser.param_groups[0].get("initial_lr", 0.0)
            raise Diverged(
                f"the loss grew from {first:.3g} to {loss:.3g} in epoch {self._course.epoch + 1}",
                f"the learning rate of {rate:.2g} is too high: try [optimiser] rate = {rate / 10:.2g}",
            )

    def _keep(self, epoch: Epoch) -> bool:
        """Whether this epoch's weights are to be kept, for which they are put aside."""
        task, course = self._task, self._course
        before = next((each.validation for each in course.epochs if each.number == course.kept), None)
        if task.terms.keep == "best" and epoch.validation is not None and before is not None:
            sign = -1 if task.metric.lower_is_better else 1
            if sign * epoch.validation <= sign * before:
                return False
        course.kept = epoch.number
        source = task.network.state_dict() if self._average is None else self._average.state_dict()["average"]
        self._best = {name: value.detach().clone() for name, value in source.items()}
        return True

    def _reason_to_stop(self, number: int, goes_on: bool) -> str:
        patience = self._task.terms.patience
        if not goes_on:
            return f"it was told to stop after epoch {number}"
        if patience is not None and number - self._course.kept >= patience:
            return f"the validation did not get better for {patience} epochs"
        return ""

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved >= SAVE_EVERY_S:
            self._save()

    def _count_time(self) -> None:
        """Since it was last counted. Not at each step: that is a system call."""
        now, cpu = time.monotonic(), time.process_time()
        self._course.seconds += now - self._counted[0]
        self._course.cpu_seconds += cpu - self._counted[1]
        self._counted = now, cpu

    def _save(self) -> None:
        self._saved = time.monotonic()
        self._count_time()
        place = self._task.checkpoint
        if place is None or not self._fabric.is_global_zero:
            return
        course = {name: value for name, value in vars(self._course).items() if name != "epochs"}
        state = {
            "identity": self._task.identity,
            "course": course | {"epochs": msgspec.to_builtins(self._course.epochs)},
            "network": self._task.network.state_dict(),
            "optimiser": self._task.optimiser.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "best": self._best,
            "beside": self._task.beside and self._task.beside.state(self._is_over()),
        }
        checkpoint.write(place, state)

    def _resume(self) -> None:
        task = self._task
        if task.checkpoint is None or not task.checkpoint.is_file():
            return
        state = checkpoint.read(task.checkpoint)
        checkpoint.check_identity(state, task.identity, task.checkpoint)
        task.network.load_state_dict(state["network"])
        checkpoint.restore(task.optimiser, state["optimiser"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if task.beside is not None:
            task.beside.go_on(state["beside"])
        self._best = state["best"]
        course = state["course"]
        self._course = Course(**course | {"epochs": msgspec.convert(course["epochs"], list[Epoch])})


def validate(network: torch.nn.Module, items: Items, loss: Loss, metric: Metric) -> tuple[float, float]:
    """Mean loss and metric over all items, in evaluation mode; the network is in training mode again afterwards."""
    outputs = outputs_of(network, items)
    value = float(loss(outputs, items.targets))
    return value, metric.value(metric.answers([outputs.float().cpu().numpy()]), items.targets.cpu().numpy())


def outputs_of(network: torch.nn.Module, items: Items, batch: int = VALIDATION_BATCH) -> torch.Tensor:
    """What the network gives for all items, [n, k], in evaluation mode."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            return torch.cat([network(*part.inputs) for part in items.batches(batch)])
    finally:
        network.train(was_training)


def _some(rows: torch.Tensor) -> str:
    """Numbers of the first few rows."""
    told = ", ".join(str(row) for row in rows[:8].tolist())
    return f"{told} …" if len(rows) > 8 else told
