"""Small pictures, made to be trained in seconds on a processor.

At full resolution convolutions and their normalisation wait for memory more than they compute. So the first layer
halves the picture, the next two are pooled before they are normalised, and what is left, 3 × 3 of a digit, is seen by
the last one at once: most of the parameters cost next to nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.shapes import ImageShape

SMALLEST = 23
"""Pixels a side of which 3 are left."""


class DigitsFast(nn.Module):  # type: ignore[misc]
    """image [n, channels, height, width] → scores [n, outputs].

    `widths`: channels of the four convolutional layers. 98,938 parameters for ten classes of grey pictures.
    """

    def __init__(self, shape: ImageShape, outputs: int, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        if min(shape.height, shape.width) < SMALLEST:
            raise UsageError(
                f"pictures of {shape.height} × {shape.width} are too small for this network",
                f"take at least {SMALLEST} × {SMALLEST} pixels, or another network",
            )
        first, second, third, fourth = widths
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, first, 5, stride=2, padding=2, bias=False), *_normed(first),
            nn.Conv2d(first, second, 3, padding=1, bias=False), nn.MaxPool2d(2), *_normed(second),
            nn.Conv2d(second, third, 3, padding=1, bias=False), nn.MaxPool2d(2), *_normed(third),
            nn.Conv2d(third, fourth, 3, bias=False), *_normed(fourth),
        )  # fmt: skip
        self.classify = nn.Linear(fourth, outputs)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax: from how strongly each channel is found anywhere in what is left."""
        return self.classify(self.features(image).amax((2, 3)))


def _normed(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
