"""EfficientNet: depth, width and resolution grow together.

M. Tan, Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019 (arXiv 1905.11946).
Blocks: M. Sandler et al., "MobileNetV2", CVPR 2018. The Lite form has no squeeze-and-excitation, ReLU6 for swish, and
scales neither stem, head, nor the number of blocks in the first and the last stage: R. Liu, "Higher accuracy on vision
models with EfficientNet-Lite", TensorFlow blog, 2020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.shapes import ImageShape

STEM, HEAD = 32, 1280
SMALL = 64
"""Pictures whose shorter side is below this keep their size in the stem, unless told otherwise."""


@dataclass(frozen=True)
class Stage:
    """One row of table 1 of the paper."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


@dataclass(frozen=True)
class Scale:
    """How many times as wide and deep as B0, and for pictures of which side."""

    width: float
    depth: float
    resolution: int


PUBLISHED = {
    "b0": Scale(1.0, 1.0, 224),
    "b1": Scale(1.0, 1.1, 240),
    "b2": Scale(1.1, 1.2, 260),
    "b3": Scale(1.2, 1.4, 300),
    "b4": Scale(1.4, 1.8, 380),
    "b5": Scale(1.6, 2.2, 456),
    "b6": Scale(1.8, 2.6, 528),
    "b7": Scale(2.0, 3.1, 600),
}
"""The scales of the authors' own networks, which are rounded."""


def scaled(compound: float, resolution: int = 224) -> Scale:
    """The scale for 2^compound times the operations of B0: depth 1.2^φ, width 1.1^φ, resolution 1.15^φ (equation 3)."""
    return Scale(1.1**compound, 1.2**compound, round(resolution * 1.15**compound))


class EfficientNet(nn.Module):  # type: ignore[misc]
    """image [n, channels, height, width] → scores [n, outputs].

    `width`, `depth`: the scale (`PUBLISHED`, `scaled`); the resolution is that of the pictures. `stochastic_depth`:
    the chance, in training, that the last block is passed by; earlier ones less. `small_images`: the stem keeps the
    size; None: for pictures below 64 pixels.
    """

    def __init__(
        self,
        shape: ImageShape,
        outputs: int,
        width: float = 1.0,
        depth: float = 1.0,
        lite: bool = False,
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
        small_images: bool | None = None,
    ) -> None:
        super().__init__()
        if width <= 0 or depth <= 0:
            raise UsageError(f"width and depth are above 0, got {width:g} and {depth:g}", "1 is EfficientNet-B0")
        small = min(shape.height, shape.width) < SMALL if small_images is None else small_images
        stem, head = (STEM, HEAD) if lite else (round_channels(STEM, width), round_channels(HEAD, width))
        blocks = list(_blocks(stem, width, depth, lite))
        self.stem = _normed(shape.channels, stem, 3, 1 if small else 2, lite)
        for number, block in enumerate(blocks):
            block.drop = stochastic_depth * number / len(blocks)
        self.blocks = nn.Sequential(*blocks)
        self.head = _normed(blocks[-1].channels, head, 1, 1, lite)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(head, outputs))
        _initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax."""
        return self.classify(self.head(self.blocks(self.stem(image))).mean((2, 3)))


class InvertedBottleneck(nn.Module):  # type: ignore[misc]
    """Widen, convolve each channel by itself, weigh the channels, narrow; added to the input where it fits."""

    def __init__(self, inputs: int, stage: Stage, stride: int, lite: bool) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.channels = stage.channels
        self.adds = stride == 1 and inputs == stage.channels
        self.drop = 0.0
        layers = [] if stage.expansion == 1 else [_normed(inputs, wide, 1, 1, lite)]
        layers.append(_normed(wide, wide, stage.kernel, stride, lite, groups=wide))
        if not lite:
            layers.append(SqueezeExcitation(wide, max(1, inputs // 4)))
        layers += [nn.Conv2d(wide, stage.channels, 1, bias=False), nn.BatchNorm2d(stage.channels, eps=1e-3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's answer, [n, channels, height / stride, width / stride]."""
        made = self.layers(x)
        if not self.adds:
            return made
        if self.training and self.drop:
            # Stochastic depth: G. Huang et al., ECCV 2016 (arXiv 1603.09382).
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            made = made * kept / (1 - self.drop)
        return x + made


class SqueezeExcitation(nn.Module):  # type: ignore[misc]
    """Weighs each channel by what is in all of them: J. Hu et al., CVPR 2018 (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, each channel times a number between 0 and 1."""
        return x * self.weigh(x.mean((2, 3), keepdim=True))


def round_channels(channels: int, width: float) -> int:
    """`width` times as many channels, as a multiple of 8 that takes away no more than a tenth."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _blocks(stem: int, width: float, depth: float, lite: bool) -> Iterator[InvertedBottleneck]:
    inputs = stem
    for number, stage in enumerate(STAGES):
        fixed = lite and number in (0, len(STAGES) - 1)
        channels = round_channels(stage.channels, width)
        repeats = stage.blocks if fixed else math.ceil(stage.blocks * depth)
        wide = Stage(stage.expansion, stage.kernel, stage.stride, channels, repeats)
        for block in range(repeats):
            yield InvertedBottleneck(inputs, wide, stage.stride if block == 0 else 1, lite)
            inputs = channels


def _normed(inputs: int, outputs: int, kernel: int, stride: int, lite: bool, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
        nn.ReLU6(inplace=True) if lite else nn.SiLU(inplace=True),
    )


def _initialise(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
