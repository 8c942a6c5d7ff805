"""Differential privacy: how much any single item can have changed the weights is bounded, and told.

M. Abadi et al., "Deep Learning with Differential Privacy", CCS 2016 (arXiv 1607.00133): a step takes each item with the
same chance, bounds the norm of each item's own gradient, and adds noise to their sum. Gradients of single items,
clipping, noise and the account are Opacus's: A. Yousefpour et al., arXiv 2109.12298. Neighbours are data sets that
differ by one item; how many there are is taken to be public.

Whoever knows the noise can take it off again. So what is drawn here depends on a secret of the run and not on the
recipe's seed; the secret stands in the checkpoint while there is something to go on with, and nowhere else.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Sequence
from typing import Any

import msgspec
import torch
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from torch import nn

from steelyard.errors import UsageError
from steelyard.preparation.augment import AUGMENTATIONS
from steelyard.records.recipe import Privacy, Recipe
from steelyard.records.training import PrivacySpent, Run
from steelyard.train import luck

MIXING = "steelyard.preparation.augment_mixing"
ORDERS = [*range(2, 65), 96, 128, 256, 512]
"""Of Rényi divergences. Whole ones are quick to reckon, and hardly looser than those between."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check(recipe: Recipe, processes: int) -> None:
    """Raises UsageError for settings under which the guarantee would not hold."""
    terms, weights = recipe.training, recipe.loss is not None and recipe.loss.options.get("weights")
    mixes = [each.name for each in recipe.augment if AUGMENTATIONS.get(each.name, "").startswith(MIXING)]
    balanced = recipe.balance.name != "none"
    refused = (
        (balanced, "[balance]", "every item has the same chance and the same weight, whatever its class"),
        (weights, "[loss] weights", "weights of classes tie the items of a batch together"),
        (mixes, f"[[augment]] {', '.join(mixes)}", "each item's gradient has to be its own, so none may be mixed"),
        (terms.clip is not None, "[training] clip", "gradients are clipped item by item, by [privacy] clip"),
        (terms.compile, "[training] compile", "gradients of single items are taken layer by layer"),
        (terms.precision != "32", "[training] precision", "the noise is reckoned for full precision"),
        (processes > 1, f"{processes} processes", "an account is kept by one"),
    )
    for is_wrong, setting, reason in refused:
        if is_wrong:
            raise UsageError(f"{setting} does not go together with [privacy]: {reason}", "leave one of them out")


def without_batch_norm(network: nn.Module) -> None:
    """Puts group normalisation where batch normalisation is, through which items see each other.

    Y. Wu, K. He, "Group Normalization", ECCV 2018 (arXiv 1803.08494). Scales and shifts keep what they begin with.
    """
    for part in list(network.modules()):
        for name, old in list(part.named_children()):
            if isinstance(old, BATCH_NORMS):
                setattr(part, name, _of_groups(old))


def _of_groups(old: Any) -> nn.Module:
    fresh = nn.GroupNorm(math.gcd(32, old.num_features), old.num_features, old.eps, old.affine)
    if old.affine:
        fresh.load_state_dict(dict(old.named_parameters()))
    fresh.was_batch_norm = True
    return fresh


def told_of(recipe: Recipe, network: nn.Module) -> tuple[str, ...]:
    """Sentences: what was changed for the guarantee, and what it does not cover."""
    norms = sum(hasattr(part, "was_batch_norm") for part in network.modules())
    fitted = ", ".join(each.name for each in recipe.prepare)
    found = {
        f"{norms} batch normalisations became group normalisations, which see one item at a time.": norms,
        f"Not covered: what preparation learnt from the training items ({fitted}), without noise.": fitted,
        "Not covered: the losses told of each epoch, and the items of validation and test.": True,
    }
    return tuple(sentence for sentence, is_so in found.items() if is_so)


class Account:
    """What has been spent, and what it hangs on: see `steelyard.train.stepping.Lasting`."""

    def __init__(self, terms: Privacy, items: int, batch: int, epochs: int, told: tuple[str, ...] = ()) -> None:
        """Raises UsageError when so little privacy loss cannot be had."""
        self._told = told
        self._items = items
        self._per_epoch = -(-items // batch)
        self.batch = min(batch, items)
        self.clip = terms.clip
        self._delta = 1 / (2 * items) if terms.delta is None else terms.delta
        if not self._delta < 1 / items:
            raise UsageError(
                f"[privacy] delta = {self._delta:g} would let one of {items} items be given away whole",
                f"take less than {1 / items:.1g}, or leave it out",
            )
        self._rate = self.batch / items
        self.noise = noise_for(terms.epsilon, self._delta, self._rate, epochs * self._per_epoch)
        if self.noise > self.batch:
            raise UsageError(
                f"[privacy] epsilon = {terms.epsilon:g} needs noise of {self.noise:.3g} times what an item may add: "
                f"with batches of {self.batch} nothing is left to learn from",
                "take a larger epsilon, fewer epochs, or more items",
            )
        self._book = RDPAccountant()
        self._secret = (secrets.randbits(64), secrets.randbits(64))
        self.steps = 0

    def order(self, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """Batches of an epoch, each item in each of them with the same chance: see `steelyard.train.order.Order`."""
        own = luck.generator_of(*self._secret, generator.initial_seed())
        draws = (torch.rand(self._items, dtype=torch.float64, generator=own) for _ in range(self._per_epoch))
        return [(each < self._rate).nonzero()[:, 0] for each in draws]

    def generator(self, device: torch.device) -> torch.Generator:
        """Of the next step's noise."""
        return torch.Generator(device).manual_seed(luck.seed_of(*self._secret, self.steps))

    def book(self) -> None:
        """One more step was made."""
        self._book.step(noise_multiplier=self.noise, sample_rate=self._rate)
        self.steps += 1

    def spent(self) -> PrivacySpent:
        """By all steps that were made, also those whose weights were not kept."""
        return PrivacySpent(
            epsilon=_epsilon(self._book, self._delta),
            delta=self._delta,
            noise=self.noise,
            clip=self.clip,
            sample_rate=self._rate,
            steps=self.steps,
            told=self._told,
        )

    def state(self, is_over: bool) -> dict[str, Any]:
        """See `Lasting`. Steps that are made again after a crash draw what they drew: nothing is spent twice."""
        return {"secret": None if is_over else self._secret, "steps": self.steps, "history": list(self._book.history)}

    def noted(self, run: Run) -> Run:
        """See `Lasting`."""
        return msgspec.structs.replace(run, privacy=self.spent())

    def go_on(self, state: dict[str, Any]) -> None:
        """See `Lasting`."""
        self._secret = state["secret"] or self._secret
        self.steps = state["steps"]
        self._book.history = list(state["history"])


def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Deviation of the noise, in norms of one item's gradient, with which so many steps spend no more than ε.

    By Rényi divergences: I. Mironov, CSF 2017 (arXiv 1702.07476), which is on the safe side. Raises UsageError when
    there is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that more orders might give a tighter bound
        try:
            return float(
                get_noise_multiplier(
                    target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="rdp",
                    epsilon_tolerance=epsilon / 200, alphas=ORDERS,
                )
            )  # fmt: skip
        except ValueError as error:
            raise UsageError(
                f"[privacy] epsilon = {epsilon:g} cannot be had with δ = {delta:.1g} and {steps} steps",
                "take a larger epsilon, fewer epochs, or more items",
            ) from error


def _epsilon(book: RDPAccountant, delta: float) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(book.get_epsilon(delta, ORDERS))
