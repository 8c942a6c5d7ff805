"""A generator becomes an ONNX file that anyone can ask for pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from steelyard.models.torch_module import export_module
from steelyard.networks.dcgan import Generator
from steelyard.train.adversarial import HALF, Pair

MODEL = "model.onnx"


class Painter(nn.Module):  # type: ignore[misc]
    """noise float32 [n, noise] and class int64 [n] → image float32 [n, height, width, channels], 0 … 255."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Normally distributed noise gives pictures like those that were learnt from."""
        return ((self.generator(noise, classes) + 1) * HALF).permute(0, 2, 3, 1)


def export_generator(pair: Pair, folder: Path) -> Path:
    """Write it into a folder, held against the generator. Raises ModelError when the file answers otherwise."""
    noise = torch.randn(2, pair.generator.noise, generator=torch.Generator().manual_seed(0))
    classes = torch.zeros(2, dtype=torch.int64)
    return export_module(
        Painter(pair.generator).eval(), (noise, classes), folder / MODEL, input_names=("noise", "class")
    )
