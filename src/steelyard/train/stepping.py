"""One step: a batch goes through the network, what it got wrong goes back through the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch

from steelyard.errors import Diverged
from steelyard.networks.losses import Loss
from steelyard.records.training import Run
from steelyard.train.items import Items

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Augment = Callable[[Items, torch.Generator], Items]
"""Changes a batch as the recipe says; draws from the generator alone."""


FURTHER = ", or [training] clip = 1.0, or a longer [schedule] warm_up"
"""Against a loss that is lost."""


class Stepper(Protocol):
    """How the weights learn from a batch."""

    def step(self, batch: Items) -> float:
        """Learn from it. Returns the mean loss over its items, as it was before."""


class Lasting(Protocol):
    """Something that a run must not forget when it is interrupted: checkpoints keep its state."""

    def state(self, is_over: bool) -> dict[str, Any]:
        """What is needed to go on exactly, see `checkpoint.State`; `is_over`: nothing will be gone on with."""

    def go_on(self, state: dict[str, Any]) -> None:
        """From where this state was taken."""

    def noted(self, run: Run) -> Run:
        """The record of the run that is over, with what there is to tell of this."""


class PlainStepper:
    """The loss's gradient, clipped if so wanted, to the optimiser."""

    def __init__(
        self,
        fabric: Fabric,
        network: torch.nn.Module,
        loss: Loss,
        optimiser: torch.optim.Optimizer,
        clip: float | None = None,
    ) -> None:
        self._fabric = fabric
        self._network = network
        self._loss = loss
        self._optimiser = optimiser
        self._clip = clip

    def step(self, batch: Items) -> float:
        """See `Stepper`. Raises Diverged before the weights take harm."""
        loss = self._loss(self._network(*batch.inputs), batch.targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            further = "" if self._clip is not None else FURTHER
            raise Diverged(f"the loss is {value}", what_to_try(batch, self._optimiser, further))
        self._fabric.backward(loss)
        if self._clip is not None:
            self._fabric.clip_gradients(self._network, self._optimiser, max_norm=self._clip, error_if_nonfinite=False)
        self._optimiser.step()
        self._optimiser.zero_grad()
        return value


def what_to_try(batch: Items, optimiser: torch.optim.Optimizer, further: str = "") -> str:
    """When the loss of this batch is no number: what is most likely to blame; `further`: what else to try."""
    for number, each in enumerate(batch.inputs):
        if each.is_floating_point() and not torch.isfinite(each).all():
            return f"input {number} of the batch holds values that are no finite numbers: clean the data ([[prepare]])"
    if batch.targets.is_floating_point() and not torch.isfinite(batch.targets).all():
        return "targets of the batch are no finite numbers: clean the data ([[prepare]])"
    group = optimiser.param_groups[0]
    rate = group.get("initial_lr", group["lr"])
    return f"try [optimiser] rate = {rate / 10:.2g} (it was {rate:.2g}){further}"
