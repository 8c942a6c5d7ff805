"""ResNet: layers learn what to add to their input.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385). Where a
bottleneck halves the picture, its 3 × 3 convolution does it and not the first one ("v1.5"). The last normalisation of
each block begins at zero, so that a fresh block passes its input on: P. Goyal et al., arXiv 1706.02677, 2017.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from steelyard.errors import UsageError
from steelyard.networks.shapes import ImageShape

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth → blocks in each of the four stages (table 1 of the paper); from 50 on they are bottlenecks."""
SMALL = 64
"""Pictures whose shorter side is below this keep their size in the stem, unless told otherwise."""


class ResNet(nn.Module):  # type: ignore[misc]
    """image [n, channels, height, width] → scores [n, outputs].

    `width`: channels of the first stage. `small_images`: a stem of one 3 × 3 convolution that keeps the size, as the
    paper has it for CIFAR, in the place of 7 × 7 and pooling; None: for pictures below 64 pixels.
    """

    def __init__(
        self, shape: ImageShape, outputs: int, depth: int = 18, width: int = 64, small_images: bool | None = None
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise UsageError(f"a ResNet has {', '.join(map(str, BLOCKS))} layers, got depth = {depth}")
        small = min(shape.height, shape.width) < SMALL if small_images is None else small_images
        self.stem = _small_stem(shape.channels, width) if small else _large_stem(shape.channels, width)
        self.stages = nn.Sequential(*_stages(depth, width))
        self.classify = nn.Linear(width * 8 * _block(depth).expansion, outputs)
        _initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax."""
        return self.classify(self.stages(self.stem(image)).mean((2, 3)))


class Basic(nn.Module):  # type: ignore[misc]
    """Two 3 × 3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(inputs, width, 3, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            _convolution(width, width, 3), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Equation 2 of the paper."""
        return functional.relu(self.residual(x) + self.shortcut(x))


class Bottleneck(nn.Module):  # type: ignore[misc]
    """Narrow, convolve 3 × 3, widen fourfold."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.residual = nn.Sequential(
            _convolution(inputs, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            _convolution(width, width, 3, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            _convolution(width, outputs, 1), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Equation 2 of the paper."""
        return functional.relu(self.residual(x) + self.shortcut(x))


def _block(depth: int) -> type[Basic] | type[Bottleneck]:
    return Basic if depth < 50 else Bottleneck


def _stages(depth: int, width: int) -> Iterator[nn.Module]:
    block, inputs = _block(depth), width
    for stage, blocks in enumerate(BLOCKS[depth]):
        for number in range(blocks):
            halves = stage > 0 and number == 0
            yield block(inputs, width * 2**stage, 2 if halves else 1)
            inputs = width * 2**stage * block.expansion


def _large_stem(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        _convolution(channels, width, 7, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    )


def _small_stem(channels: int, width: int) -> nn.Module:
    return nn.Sequential(_convolution(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The input as it is where its shape fits, else projected (option B of the paper)."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def _initialise(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, Basic | Bottleneck):
            nn.init.zeros_(part.residual[-1].weight)
