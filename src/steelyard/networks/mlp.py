"""Fully connected layers for the rows of a table.

Categories are embedded: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", arXiv 1604.06737, 2016. Each
layer is normalised over its own outputs (J. Ba et al., "Layer Normalization", arXiv 1607.06450), so a row's answer does
not hang on the batch it is in.
"""

from __future__ import annotations

import torch
from torch import nn

from steelyard.networks.shapes import TableShape

WIDEST_EMBEDDING = 50


class Mlp(nn.Module):  # type: ignore[misc]
    """table [n, numbers + categories] → scores or values [n, outputs].

    `width`: outputs of each of the hidden `layers`. A category beyond the last of its column counts as the last.
    """

    def __init__(
        self, shape: TableShape, outputs: int, width: int = 128, layers: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.numbers = shape.numbers
        self.register_buffer("last", torch.tensor(shape.categories, dtype=torch.int64) - 1, persistent=False)
        sizes = [min(WIDEST_EMBEDDING, (count + 1) // 2) for count in shape.categories]
        self.embeddings = nn.ModuleList(map(nn.Embedding, shape.categories, sizes))
        inputs = shape.numbers + sum(sizes)
        hidden = [_layer(width if number else inputs, width, dropout) for number in range(layers)]
        self.layers = nn.Sequential(*hidden, nn.Linear(width if layers else inputs, outputs))

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """Scores before the softmax, or values."""
        codes = table[:, self.numbers :].long().clamp(min=0).minimum(self.last)
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat([table[:, : self.numbers], *embedded], 1))


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU(), nn.Dropout(dropout))
