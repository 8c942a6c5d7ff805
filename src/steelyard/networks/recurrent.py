"""Recurrent networks: a state that is carried from step to step, and read at the end.

Plain units: J. Elman, "Finding Structure in Time", Cognitive Science 14, 1990. LSTM: S. Hochreiter, J. Schmidhuber,
"Long Short-Term Memory", Neural Computation 9, 1997. GRU: K. Cho et al., EMNLP 2014 (arXiv 1406.1078). Both directions:
M. Schuster, K. Paliwal, IEEE Transactions on Signal Processing 45, 1997.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from steelyard.errors import UsageError
from steelyard.networks.shapes import SequenceShape, TextShape


class _Recurrent(nn.Module):  # type: ignore[misc]
    """sequence [n, steps, channels] (with length [n] when items differ) or tokens [n, length] → scores [n, outputs].

    What fills items up changes no answer. `hidden`: size of the state; `bidirectional`: a second state comes from the
    end to the beginning; `embedding`: size of a token's vector; `dropout` is put before each layer but the first, and
    before the scores.
    """

    cell: Callable[..., Any]

    def __init__(
        self,
        shape: SequenceShape | TextShape,
        outputs: int,
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        embedding: int = 128,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise UsageError(f"a recurrent network has 1 or more layers, got {layers}")
        self.padding = shape.padding if isinstance(shape, TextShape) else None
        self.embed = nn.Embedding(shape.vocabulary, embedding) if isinstance(shape, TextShape) else nn.Identity()
        first = embedding if isinstance(shape, TextShape) else shape.channels
        made = hidden * (2 if bidirectional else 1)
        sizes = [first] + [made] * (layers - 1)
        self.onward = nn.ModuleList(self.cell(size, hidden, batch_first=True) for size in sizes)
        self.backward = nn.ModuleList(self.cell(size, hidden, batch_first=True) for size in sizes if bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(made, outputs)

    def forward(self, items: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Scores before the softmax, or values."""
        if self.padding is not None:
            length = (items != self.padding).sum(1).clamp(min=1)
        x = self.embed(items)
        for layer, onward in enumerate(self.onward):
            x = self.dropout(x) if layer else x
            ahead = onward(x)[0]
            if not self.backward:
                x, last = ahead, _last(ahead, length)
                continue
            # The way back is a way onward over reversed items: so it begins at each item's own end.
            back = self.backward[layer](_reversed(x, length))[0]
            x = torch.cat([ahead, _reversed(back, length)], 2)
            last = torch.cat([_last(ahead, length), _last(back, length)], 1)
        return self.classify(self.dropout(last))


class Rnn(_Recurrent):
    """Plain recurrent units with tanh; see the parameters of the others in this file."""

    cell = nn.RNN


class Lstm(_Recurrent):
    """Long short-term memory."""

    cell = nn.LSTM


class Gru(_Recurrent):
    """Gated recurrent units."""

    cell = nn.GRU


def _last(x: torch.Tensor, length: torch.Tensor | None) -> torch.Tensor:
    """[n, size]: of [n, steps, size] the last step that each item has."""
    if length is None:
        return x[:, -1]
    return x.gather(1, (length - 1)[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]


def _reversed(x: torch.Tensor, length: torch.Tensor | None) -> torch.Tensor:
    """[n, steps, size], the steps of each item in the opposite order, and behind them what fills it up."""
    if length is None:
        return x.flip(1)
    steps = x.shape[1]
    places = (length[:, None] - 1 - torch.arange(steps, device=x.device)).remainder(steps)
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
