"""Sequences [items, steps, channels] with noise, of other strength, of other speed.

Um et al., Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural
networks, ICMI 2017, https://arxiv.org/abs/1706.00527
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from steelyard.preparation.augment import uniform


@dataclass(frozen=True)
class Jitter:
    """Add normal noise of this standard deviation. Steps that are zero in all channels only fill up, and stay zero."""

    deviation: float = 0.05

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every value."""
        noise = torch.randn(batch.shape, generator=generator, device=generator.device).to(batch)
        there = (batch != 0).any(dim=2, keepdim=True)
        return batch + self.deviation * noise * there, targets


@dataclass(frozen=True)
class Magnitude:
    """Multiply each channel of each item by a number within `share` of 1."""

    share: float = 0.1

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every item."""
        return batch * (1 + self.share * uniform((len(batch), 1, batch.shape[2]), batch, generator)), targets


@dataclass(frozen=True)
class Warp:
    """Let time run faster and slower along each item, by up to `share`; begin and end stay where they are.

    The speed changes at `knots` points and smoothly between them. For sequences of one length: where steps fill up,
    they would be warped into the others.
    """

    share: float = 0.2
    knots: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1 or self.knots < 2:
            raise ValueError(f"share = {self.share} lies between 0 and 1, knots = {self.knots} are at least 2")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every item by a course of its own."""
        items, steps, channels = batch.shape
        speed = 1 + self.share * uniform((items, 1, self.knots), batch, generator)
        speed = interpolate(speed, size=steps, mode="linear", align_corners=True)[:, 0]
        passed = torch.cumsum(speed, dim=1) - speed[:, :1]
        place = passed / passed[:, -1:].clamp_min(1e-12) * (steps - 1)
        below = place.floor().long().clamp(0, max(0, steps - 2))
        above = (below + 1).clamp_max(steps - 1)
        weight = (place - below).unsqueeze(2)
        early, late = (batch.gather(1, at.unsqueeze(2).expand(-1, -1, channels)) for at in (below, above))
        return early * (1 - weight) + late * weight, targets
