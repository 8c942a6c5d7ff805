"""DCGAN: a pair of convolutional networks, one of which makes pictures and the other tells them from real ones.

A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016 (arXiv 1511.06434), with its guidelines: strided convolutions in the place of pooling, batch
normalisation in both (not in the generator's last layer nor the discriminator's first), ReLU and at the end tanh in the
generator, LeakyReLU in the discriminator; weights begin with a deviation of 0.02. Both know the class where there are
any: M. Mirza, S. Osindero, arXiv 1411.1784, 2014.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from steelyard.errors import UsageError
from steelyard.networks.shapes import ImageShape

SLOPE = 0.2
"""Of LeakyReLU, below zero."""
DEVIATION = 0.02


class Generator(nn.Module):  # type: ignore[misc]
    """noise [n, noise] and classes int64 [n] → pictures [n, channels, height, width] from -1 to 1.

    Two fractionally strided convolutions: height and width are multiples of 4. `width`: channels of the last but one
    layer; the layer before has twice as many.
    """

    def __init__(self, shape: ImageShape, classes: int = 0, noise: int = 100, width: int = 64) -> None:
        super().__init__()
        _check(shape)
        self.classes, self.noise = classes, noise
        self.begin = (2 * width, shape.height // 4, shape.width // 4)
        self.project = nn.Linear(noise + classes, self.begin[0] * self.begin[1] * self.begin[2], bias=False)
        self.grow = nn.Sequential(
            nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, shape.channels, 4, stride=2, padding=1), nn.Tanh(),
        )  # fmt: skip
        self.apply(_begin)

    def forward(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Classes are not looked at where the generator was made for none."""
        known = functional.one_hot(classes, self.classes).to(noise.dtype) if self.classes else noise[:, :0]
        return self.grow(self.project(torch.cat([noise, known], 1)).unflatten(1, self.begin))


class Discriminator(nn.Module):  # type: ignore[misc]
    """pictures [n, channels, height, width] and classes int64 [n] → logits [n] of being real."""

    def __init__(self, shape: ImageShape, classes: int = 0, width: int = 64) -> None:
        super().__init__()
        _check(shape)
        self.classes = classes
        self.look = nn.Sequential(
            nn.Conv2d(shape.channels + classes, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(SLOPE), nn.Flatten(),
            nn.Linear(2 * width * (shape.height // 4) * (shape.width // 4), 1),
        )  # fmt: skip
        self.apply(_begin)

    def forward(self, pictures: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """The class is a plane of ones beside the colours, among planes of zeros."""
        if self.classes:
            planes = functional.one_hot(classes, self.classes).to(pictures.dtype)[:, :, None, None]
            pictures = torch.cat([pictures, planes.expand(-1, -1, *pictures.shape[2:])], 1)
        return self.look(pictures)[:, 0]


def _check(shape: ImageShape) -> None:
    if shape.height % 4 or shape.width % 4:
        raise UsageError(
            f"the pair makes pictures whose sides are multiples of 4, the data are {shape.height} × {shape.width}",
            "give pictures of another size: [data] resize",
        )


def _begin(part: nn.Module) -> None:
    if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(part.weight, 0.0, DEVIATION)
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    elif isinstance(part, nn.BatchNorm2d):
        nn.init.normal_(part.weight, 1.0, DEVIATION)
        nn.init.zeros_(part.bias)
