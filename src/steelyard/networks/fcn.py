"""The fully convolutional network for sequences: what happens is looked for wherever in time it happens.

Three convolutions along time, and the mean of what they find: Z. Wang, W. Yan, T. Oates, "Time Series Classification
from Scratch with Deep Neural Networks: A Strong Baseline", IJCNN 2017 (arXiv 1611.06455). The first kernel has 7 steps
in place of their 8, so that all are centred.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from steelyard.networks.shapes import SequenceShape

KERNELS = (7, 5, 3)


class Fcn(nn.Module):  # type: ignore[misc]
    """sequence [n, steps, channels] (with length [n] when items differ) → scores [n, outputs].

    What fills items up changes no answer. `widths`: channels of the three convolutions; `dropout` is put before the
    scores.
    """

    def __init__(
        self, shape: SequenceShape, outputs: int, widths: Sequence[int] = (128, 256, 128), dropout: float = 0.0
    ) -> None:
        super().__init__()
        sizes = pairwise((shape.channels, *widths))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(after), nn.ReLU()
            )
            for (before, after), kernel in zip(sizes, KERNELS, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(widths[-1], outputs)

    def forward(self, sequence: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Scores before the softmax, or values."""
        x = sequence.transpose(1, 2)
        if length is None:
            for block in self.blocks:
                x = block(x)
            return self.classify(self.dropout(x.mean(2)))
        there = (torch.arange(x.shape[2], device=x.device) < length[:, None])[:, None]
        x = x.where(there, 0.0)
        for block in self.blocks:
            x = block(x).where(there, 0.0)
        return self.classify(self.dropout(x.sum(2) / length[:, None]))
