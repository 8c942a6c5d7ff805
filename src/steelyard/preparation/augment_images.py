"""Pictures [items, channels, height, width], moved, turned, cropped, flipped, partly erased.

What comes in from outside of a picture is zero: normalise so that this is the background, or augment before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from steelyard.preparation.augment import chosen, uniform


@dataclass(frozen=True)
class AffineWarp:
    """Turn by up to `rotate` degrees, enlarge or shrink by up to the share `scale`, shift by up to the share `shift`.

    All at once: each picture is sampled (bilinear) a single time, which costs a third and blurs less.
    """

    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale < 1 or not 0 <= self.shift <= 1:
            raise ValueError(f"scale = {self.scale} and shift = {self.shift} are shares, from 0 to 1")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every picture by amounts of its own."""
        draw = uniform((4, len(batch)), batch, generator)
        angle = draw[0] * math.radians(self.rotate)
        size = 1 / (1 + draw[1] * self.scale)
        aspect = batch.shape[3] / batch.shape[2]
        cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
        rows = [cosine, -sine / aspect, 2 * self.shift * draw[2], sine * aspect, cosine, 2 * self.shift * draw[3]]
        matrix = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = affine_grid(matrix, list(batch.shape), align_corners=False)
        return grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False), targets


def Rotate(degrees: float = 10.0) -> AffineWarp:  # noqa: N802 - it stands beside classes in the table
    """Turn by up to `degrees` either way."""
    return AffineWarp(rotate=degrees)


def Scale(share: float = 0.1) -> AffineWarp:  # noqa: N802 - the same
    """Enlarge or shrink by up to `share`."""
    return AffineWarp(scale=share)


def Shift(share: float = 0.1) -> AffineWarp:  # noqa: N802 - the same
    """Shift by up to `share` of the height and of the width."""
    return AffineWarp(shift=share)


@dataclass(frozen=True)
class Crop:
    """Add `pixels` of zeros on each side and cut the old size out at random: a shift by whole pixels, without blur."""

    pixels: int = 2

    def __post_init__(self) -> None:
        if self.pixels < 1:
            raise ValueError(f"pixels = {self.pixels}, at least 1")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every picture at a place of its own."""
        items, _, height, width = batch.shape
        wide = pad(batch, (self.pixels,) * 4)
        offset = torch.randint(0, 2 * self.pixels + 1, (2, items), generator=generator, device=generator.device)
        down, right = offset.to(batch.device)
        rows = (down[:, None] + torch.arange(height, device=batch.device))[:, None, :, None]
        columns = (right[:, None] + torch.arange(width, device=batch.device))[:, None, None, :]
        item = torch.arange(items, device=batch.device)[:, None, None, None]
        channel = torch.arange(batch.shape[1], device=batch.device)[None, :, None, None]
        return wide[item, channel, rows, columns], targets


@dataclass(frozen=True)
class Flip:
    """Mirror left and right, or with `vertical` top and bottom, with this chance. Not for digits or letters."""

    chance: float = 0.5
    vertical: bool = False

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some pictures."""
        flipped = chosen(len(batch), self.chance, batch, generator)[:, None, None, None]
        return torch.where(flipped, batch.flip(2 if self.vertical else 3), batch), targets


@dataclass(frozen=True)
class Erase:
    """Set a square to zero whose sides are up to the share `size` of the picture's, with this chance.

    Random erasing (Zhong et al., AAAI 2020, https://arxiv.org/abs/1708.04896), with zeros as in cutout (DeVries and
    Taylor, https://arxiv.org/abs/1708.04552).
    """

    size: float = 0.3
    chance: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ValueError(f"size = {self.size} is a share, from 0 to 1")

    def __call__(self, batch: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some pictures, at a place of their own."""
        items, _, height, width = batch.shape
        draw = (uniform((3, items), batch, generator) + 1) / 2
        half = draw[2] * self.size / 2
        down = torch.arange(height, device=batch.device) / height
        right = torch.arange(width, device=batch.device) / width
        rows = (down[None] - draw[0][:, None]).abs() < half[:, None]
        columns = (right[None] - draw[1][:, None]).abs() < half[:, None]
        erased = rows[:, :, None] & columns[:, None, :]
        erased &= chosen(items, self.chance, batch, generator)[:, None, None]
        return batch.masked_fill(erased[:, None], 0.0), targets
