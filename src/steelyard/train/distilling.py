"""Distillation: a network learns from another one's answers as well as from the targets.

G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, 2015. The teacher
answers the very items that the student sees, augmented as they are: L. Beyer et al., "Knowledge distillation: A good
teacher is patient and consistent", CVPR 2022 (arXiv 2106.05237).
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.nn import functional

from steelyard.errors import UsageError
from steelyard.networks import options
from steelyard.networks.losses import Loss
from steelyard.records.recipe import Chosen
from steelyard.train.items import Items
from steelyard.train.stepping import Augment

SIZES = ("width", "widths", "hidden")
"""Options of networks that say how wide they are."""


class FromTeacher:
    """a T² Σ_c p_c log(p_c / q_c) + (1 − a) · loss, with p = softmax(teacher / T), q = softmax(outputs / T).

    Section 2 of the paper; T² keeps the gradients as large at every temperature T. a is `share`, `loss` is the
    recipe's. For measured values the first part is the mean squared distance from the teacher's.

    A loss whose targets are those that `taught` puts into a batch: [n, 2 k], the recipe's targets and the teacher's
    outputs.
    """

    def __init__(self, loss: Loss, temperature: float, share: float, *, measured: bool) -> None:
        self.loss = loss
        self.temperature = temperature
        self.share = share
        self.measured = measured

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Loss`."""
        wanted, teacher = targets.chunk(2, 1)
        return self.share * self._apart(outputs, teacher) + (1 - self.share) * self.loss(outputs, wanted)

    def _apart(self, outputs: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """How far the answers lie from the teacher's."""
        if self.measured:
            return functional.mse_loss(outputs, teacher)
        student = (outputs / self.temperature).log_softmax(1)
        softened = (teacher / self.temperature).log_softmax(1)
        return functional.kl_div(student, softened, log_target=True, reduction="batchmean") * self.temperature**2

    def check(self, targets: Any, outputs: int) -> None:
        """See `Loss`."""
        self.loss.check(targets, outputs)


def taught(teacher: torch.nn.Module, augment: Augment | None, *, measured: bool) -> Augment:
    """Augments a batch as before, then lets the teacher, which is in evaluation mode, answer it: see `FromTeacher`."""

    def answered(batch: Items, generator: torch.Generator) -> Items:
        batch = batch if augment is None else augment(batch, generator)
        with torch.no_grad():
            answers = teacher(*batch.inputs).float()
        return Items(batch.inputs, torch.cat([_spread(batch.targets, answers, measured), answers], 1))

    return answered


def _spread(targets: torch.Tensor, answers: torch.Tensor, measured: bool) -> torch.Tensor:
    """[n, k]: class numbers as probabilities, anything else as it is."""
    if measured or targets.ndim == 2:
        return targets.reshape(answers.shape).to(answers.dtype)
    return functional.one_hot(targets, answers.shape[1]).to(answers.dtype)


def smaller(network: Chosen) -> Chosen:
    """The same kind of network, half as wide. Raises UsageError when it has no width that could be halved."""
    known = options(network.name)
    chosen = {name: value for name, value in known.items() if value is not inspect.Parameter.empty}
    chosen |= network.options
    halves = {name: _half(chosen[name]) for name in SIZES if _is_size(chosen.get(name))}
    if not halves:
        raise UsageError(
            f"which smaller network is to learn from this one? {network.name} has no width to be halved",
            '[cheaper.distil] network = { name = "…" } names one',
        )
    return Chosen(name=network.name, options=dict(network.options) | halves)


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float | list | tuple) and not isinstance(value, bool)


def _half(size: Any) -> Any:
    """Rounded up to a multiple of 4 where sizes are whole numbers: processors compute 4 and more at once."""
    if isinstance(size, list | tuple):
        return type(size)(_half(each) for each in size)
    return size / 2 if isinstance(size, float) else -(-size // 8) * 4
