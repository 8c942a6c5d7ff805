"""Augmentation: batches of training items, changed at random in ways that leave their class what it is.

Everything here takes a whole batch at once and draws from one generator, so that a seed means the same batches.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from steelyard.errors import UsageError
from steelyard.records.dotted import found
from steelyard.records.spelling import did_you_mean


class Augmentation(Protocol):
    """One way to change a batch."""

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch changed; its targets too, where items are mixed. Neither tensor given is written to."""


AUGMENTATIONS: dict[str, str] = {
    "rotate": "steelyard.preparation.augment_images:Rotate",
    "scale": "steelyard.preparation.augment_images:Scale",
    "shift": "steelyard.preparation.augment_images:Shift",
    "affine": "steelyard.preparation.augment_images:AffineWarp",
    "crop": "steelyard.preparation.augment_images:Crop",
    "flip": "steelyard.preparation.augment_images:Flip",
    "erase": "steelyard.preparation.augment_images:Erase",
    "mixup": "steelyard.preparation.augment_mixing:Mixup",
    "jitter": "steelyard.preparation.augment_sequences:Jitter",
    "magnitude": "steelyard.preparation.augment_sequences:Magnitude",
    "warp": "steelyard.preparation.augment_sequences:Warp",
    "token-dropout": "steelyard.preparation.augment_text:TokenDropout",
}
"""Name in a recipe → what makes it of options."""


@dataclass(frozen=True)
class Chain:
    """Several, one after the other."""

    links: tuple[Augmentation, ...] = ()

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch after all of them."""
        for link in self.links:
            batch, targets = link(batch, targets, generator)
        return batch, targets


def make(name: str, options: Mapping[str, Any] | None = None, classes: int = 0) -> Augmentation:
    """The augmentation of this name; one that mixes targets learns how many `classes` there are, unless options say it.

    Raises UsageError when there is none, or it cannot be made with these options.
    """
    if name not in AUGMENTATIONS:
        raise UsageError(f"no augmentation is called {name!r}", did_you_mean(name, AUGMENTATIONS))
    kind = found(AUGMENTATIONS[name])
    known = list(inspect.signature(kind).parameters)
    unknown = [option for option in options or {} if option not in known]
    if unknown:
        raise UsageError(f"the augmentation {name!r} has no option {unknown[0]!r}", did_you_mean(unknown[0], known))
    try:
        told = {"classes": classes} if "classes" in known else {}
        made: Augmentation = kind(**(told | dict(options or {})))
    except (TypeError, ValueError) as error:
        raise UsageError(f"the augmentation {name!r}: {error}") from None
    return made


def chain(wanted: Sequence[tuple[str, Mapping[str, Any]]], classes: int = 0) -> Chain:
    """Those of these names and options. Raises UsageError as `make` does."""
    return Chain(tuple(make(name, options, classes) for name, options in wanted))


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers from -1 to 1, where and of what kind `like` is. Drawn where the generator lives."""
    drawn = torch.rand(tuple(shape), generator=generator, device=generator.device) * 2 - 1
    return drawn.to(device=like.device, dtype=like.dtype)


def chosen(items: int, chance: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Which items are changed, each with the same chance: bool [items]."""
    return torch.rand(items, generator=generator, device=generator.device).to(like.device) < chance
