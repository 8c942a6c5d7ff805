"""The two classic convolutional networks for handwritten digits, as they are taught."""

from __future__ import annotations

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.shapes import ImageShape


class DigitsConv2(nn.Module):  # type: ignore[misc]
    """Two convolutional layers: image [n, channels, height, width] → scores [n, outputs].

    K. Team, "Simple MNIST convnet", keras.io/examples/vision/mnist_convnet: there trained on one-hot labels by
    cross-entropy. 34,826 parameters for digits of 28 × 28.
    """

    def __init__(self, shape: ImageShape, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        side = [_pooled(_pooled(size)) for size in (shape.height, shape.width)]
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classify = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(64 * _area(side, shape, 10), outputs)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax."""
        return self.classify(self.features(image))


class DigitsConv3(nn.Module):  # type: ignore[misc]
    """Three convolutional layers and a hidden one: image [n, channels, height, width] → scores [n, outputs].

    F. Chollet, "Deep Learning with Python", 2017, listings 5.1 and 5.2; trained on class numbers by ("sparse")
    cross-entropy. 93,322 parameters for digits of 28 × 28.
    """

    def __init__(self, shape: ImageShape, outputs: int) -> None:
        super().__init__()
        side = [_pooled(_pooled(size)) - 2 for size in (shape.height, shape.width)]
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3), nn.ReLU(),
        )  # fmt: skip
        self.classify = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * _area(side, shape, 18), 64), nn.ReLU(), nn.Linear(64, outputs)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores, before the softmax."""
        return self.classify(self.features(image))


def _pooled(size: int) -> int:
    """What a convolution of 3 without padding, and pooling by 2, leave of a side."""
    return (size - 2) // 2


def _area(side: list[int], shape: ImageShape, least: int) -> int:
    if min(side) < 1:
        raise UsageError(
            f"pictures of {shape.height} × {shape.width} are too small for this network",
            f"take at least {least} × {least} pixels, or another network",
        )
    return side[0] * side[1]
