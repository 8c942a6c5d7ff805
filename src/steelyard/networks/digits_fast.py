"""Small pictures, made to be trained in seconds on a processor.

At full resolution convolutions and their normalisation wait for memory more than they compute. So the first layer
halves the picture, and the second is pooled before it is normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from steelyard.networks.shapes import ImageShape


class DigitsFast(nn.Module):  # type: ignore[misc]
    """image [n, channels, height, width] → scores [n, outputs].

    `widths`: channels of the three convolutional layers. 53,986 parameters for ten classes of grey pictures.
    """

    def __init__(self, shape: ImageShape, outputs: int, widths: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        first, second, third = widths
        self.features = nn.Sequential(
            _convolution(shape.channels, first, 5, stride=2), *_normed(first),
            _convolution(first, second, 3), nn.MaxPool2d(2), *_normed(second),
            _convolution(second, third, 3), *_normed(third),
        )  # fmt: skip
        self.classify = nn.Linear(third, outputs)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax: from how strongly each channel is found anywhere in the picture."""
        return self.classify(self.features(image).amax((2, 3)))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def _normed(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
