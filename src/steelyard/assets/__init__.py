"""Files that ship with Steelyard: a small network and the digits that judge it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def mnist_model() -> Path:
    """The network: input `image` float32 [n, 1, 28, 28] in 0..1, output `logits` float32 [n, 10]."""
    return _shipped("mnist_cnn.onnx")


def mnist_test() -> Path:
    """The 10,000 test images of MNIST, .npz: `x` uint8 [10000, 1, 28, 28] in 0..255, `y` uint8 [10000]."""
    return _shipped("mnist_test.npz")


def _shipped(name: str) -> Path:
    return Path(str(files(__name__) / "mnist" / name))
