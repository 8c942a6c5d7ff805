"""The encoder of a Transformer, and the mean of what it makes of each step.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (arXiv 1706.03762). Normalisation stands before each part
and not behind it, which trains without a warm-up: R. Xiong et al., ICML 2020 (arXiv 2002.04745).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from steelyard.errors import UsageError
from steelyard.networks.shapes import SequenceShape, TextShape


class Transformer(nn.Module):  # type: ignore[misc]
    """sequence [n, steps, channels] (with length [n] when items differ) or tokens [n, length] → scores [n, outputs].

    What fills items up changes no answer. `width`: size of a step's vector (d_model in the paper), a multiple of
    `heads` and even; `hidden`: size inside the feed-forward part (d_ff), four times the width when not given.
    """

    def __init__(
        self,
        shape: SequenceShape | TextShape,
        outputs: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise UsageError(f"the width is even and a multiple of heads, got width = {width}, heads = {heads}")
        self.padding = shape.padding if isinstance(shape, TextShape) else None
        self.embed = _embedding(shape, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, heads, hidden or 4 * width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, outputs)

    def forward(self, items: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Scores before the softmax, or values."""
        counts = self._counts(items, length)
        x = self.embed(items)
        x = self.dropout(x + positions(x.shape[1], x.shape[2], x.device))
        mask = None if counts is None else counts[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return self.classify(_mean(self.norm(x), counts))

    def _counts(self, items: torch.Tensor, length: torch.Tensor | None) -> torch.Tensor | None:
        """Which steps count, bool [n, steps]; None: all. The first always does: nothing has no mean."""
        places = torch.arange(items.shape[1], device=items.device)
        if self.padding is not None:
            return (items != self.padding) | (places == 0)
        return None if length is None else places < length.clamp(min=1)[:, None]


class Layer(nn.Module):  # type: ignore[misc]
    """Attention, then two layers for each step by itself; both are added to what came in."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[n, steps, width] → the same shape."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask))
        return x + self.dropout(self.feed(self.feed_norm(x)))


class Attention(nn.Module):  # type: ignore[misc]
    """softmax(Q Kᵀ / √d) V for several heads side by side (equation 1 and section 3.2.2 of the paper)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[n, steps, width] → the same shape; `mask` [n, 1, 1, steps] is True for what may be looked at."""
        query, key, value = self.project(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, mask)
        return self.join(seen.transpose(1, 2).flatten(2))


class Tokens(nn.Module):  # type: ignore[misc]
    """Embeddings times √width, as section 3.4 has it: as large as the positions that are added."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.scale = math.sqrt(width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[n, length] → [n, length, width]."""
        return self.table(tokens) * self.scale


def positions(steps: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """[steps, width]: sines in the even places, cosines in the odd ones (section 3.5); any number of steps."""
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    angles = torch.arange(steps, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def _embedding(shape: SequenceShape | TextShape, width: int) -> nn.Module:
    return Tokens(shape.vocabulary, width) if isinstance(shape, TextShape) else nn.Linear(shape.channels, width)


def _mean(x: torch.Tensor, counts: torch.Tensor | None) -> torch.Tensor:
    if counts is None:
        return x.mean(1)
    weights = counts[:, :, None].to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1)
