"""A step of private training: the gradient of each item by itself, bounded; their sum with noise. See `privacy.py`."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from steelyard.errors import Diverged, UsageError
from steelyard.networks.losses import Loss
from steelyard.records.recipe import Privacy, Recipe
from steelyard.train.items import Items
from steelyard.train.order import Order
from steelyard.train.privacy import Account, check, told_of, without_batch_norm
from steelyard.train.stepping import what_to_try
from steelyard.train.twins import twin

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PrivateStepper", "begin", "without_batch_norm"]

AT_ONCE_BYTES = 2**28
"""Memory for the gradients of single items; larger batches go through in parts."""
AT_ONCE = 256
"""Items at once, at most."""


def begin(
    recipe: Recipe, items: int, fabric: Fabric, network: nn.Module, loss: Loss, optimiser: torch.optim.Optimizer
) -> tuple[PrivateStepper, Order, Account]:
    """What takes the place of plain steps in plain order, for so many training items; and the account of it.

    Raises UsageError where the guarantee cannot be given.
    """
    check(recipe, fabric.world_size)
    training = recipe.training
    account = Account(
        recipe.privacy or Privacy(), items, training.batch, training.epochs, told_of(recipe, network)
    )  # fmt: skip
    return PrivateStepper(network, loss, optimiser, account), account.order, account


class PrivateStepper:
    """The sum of the items' bounded gradients, with noise, to the optimiser: see `steelyard.train.stepping.Stepper`."""

    def __init__(self, network: nn.Module, loss: Loss, optimiser: torch.optim.Optimizer, account: Account) -> None:
        """Raises UsageError for a network in which an item's gradient cannot be told from another's."""
        _check_network(network)
        try:
            self._network = GradSampleModule(twin(network))
        except (NotImplementedError, ValueError) as error:
            raise UsageError(f"[privacy] does not work with this network: {error}", "choose another one") from error
        self._parameters = [each for each in network.parameters() if each.requires_grad]
        self._loss = loss
        self._account = account
        self._optimiser = DPOptimizer(
            optimiser,
            noise_multiplier=account.noise,
            max_grad_norm=account.clip,
            expected_batch_size=account.batch,
        )
        bytes_of_item = sum(each.numel() * each.element_size() for each in self._parameters)
        self._at_once = max(1, min(AT_ONCE, AT_ONCE_BYTES // max(bytes_of_item, 1)))

    def step(self, batch: Items) -> float:
        """See `Stepper`. A batch may be empty: then there is noise alone."""
        self._optimiser.generator = self._account.generator(self._parameters[0].device)
        parts, total = list(batch.batches(self._at_once)), 0.0
        for number, part in enumerate(parts, 1):
            total += self._gradients(part) * len(part)
            self._optimiser.signal_skip_step(number < len(parts))
            self._learn()
        if not parts:
            for each in self._parameters:
                each.grad_sample = each.new_zeros((0, *each.shape))
            self._learn()
        self._account.book()
        return total / max(len(batch), 1)

    def _learn(self) -> None:
        """Clip and add up; with the last part, add noise and change the weights."""
        self._optimiser.step()
        self._optimiser.zero_grad()

    def _gradients(self, part: Items) -> float:
        """Of each of these items. Returns their mean loss."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            loss = self._loss(self._network(*part.inputs), part.targets)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise Diverged(f"the loss is {value}", what_to_try(part, self._optimiser))
            loss.backward()
        return value


def _check_network(network: nn.Module) -> None:
    recurrent = next((type(part).__name__ for part in network.modules() if isinstance(part, nn.RNNBase)), None)
    if recurrent is not None:
        raise UsageError(
            f"[privacy] does not work with recurrent layers ({recurrent}) yet", '[network] name = "transformer" does'
        )
