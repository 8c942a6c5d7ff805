"""Pruning of layers that hold several matrices in one: attention (query, key, value) and recurrent ones (gates).

Their parameters have gradients, by which it is told what each head, neuron and unit is worth: see `pruning.py`.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from steelyard.networks.recurrent import Gru, Lstm, Rnn
from steelyard.networks.transformer import Attention, Layer, Transformer

Rows: TypeAlias = torch.Tensor
"""int64, in rising order: what stays."""
MULTIPLE = 4
"""Neurons and units come in multiples of it; heads do not."""


def prune_transformer(network: Transformer, keep: float) -> None:
    """Takes heads, and neurons of the feed-forward parts, out of every layer. Steps keep the width of their vectors."""
    for layer in network.layers:
        _prune_heads(layer.attention, keep)
        _prune_feed_forward(layer, keep)


def _prune_heads(attention: Attention, keep: float) -> None:
    heads, width = attention.heads, attention.join.in_features
    of_head = torch.arange(width).reshape(heads, -1)
    packed = torch.arange(3 * width).reshape(3, heads, -1)  # query, key and value of each head
    worth = worth_of(attention.project.weight, 0).reshape(3, heads, -1).sum((0, 2))
    worth = worth + worth_of(attention.join.weight, 1).reshape(heads, -1).sum(1)
    kept = best(worth, max(1, round(heads * keep)))
    cut(attention.project, packed[:, kept].flatten(), 0)
    cut(attention.join, of_head[kept].flatten(), 1)
    attention.heads = len(kept)


def _prune_feed_forward(layer: Layer, keep: float) -> None:
    enter, leave = layer.feed[0], layer.feed[3]
    worth = worth_of(enter.weight, 0) + worth_of(leave.weight, 1)
    kept = best(worth, rounded(len(worth) * keep))
    cut(enter, kept, 0)
    cut(leave, kept, 1)


def prune_recurrent(network: Rnn | Lstm | Gru, keep: float) -> None:
    """Takes units out of every layer's state, and what reads them out of the next layer and the scores."""
    read: Rows | None = None  # what is left of that which the layer before makes; None: all
    for number in range(len(network.onward)):
        ways = [each for each in (network.onward, network.backward) if len(each)]
        units, left = ways[0][number].hidden_size, []
        for way in ways:
            kept = _worthiest_units(way[number], keep)
            way[number] = _without_units(way[number], kept, read)
            left.append(kept)
        read = torch.cat([kept + units * place for place, kept in enumerate(left)])
    cut(network.classify, read, 1)


def _worthiest_units(layer: nn.RNNBase, keep: float) -> Rows:
    """By the weights that lead to a unit, in all gates, and from it to the others."""
    units = layer.hidden_size
    worth = worth_of(layer.weight_hh_l0, 1)
    for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
        worth = worth + worth_of(weight, 0).reshape(-1, units).sum(0)
    return best(worth, rounded(units * keep))


@torch.no_grad()  # type: ignore[untyped-decorator]
def _without_units(layer: nn.RNNBase, kept: Rows, read: Rows | None) -> nn.RNNBase:
    """A layer with the `kept` units alone, which reads what is left of its inputs."""
    inputs = torch.arange(layer.input_size) if read is None else read
    smaller = type(layer)(len(inputs), len(kept), batch_first=True)
    gates = torch.arange(len(layer.bias_hh_l0)).reshape(-1, layer.hidden_size)[:, kept].flatten()
    smaller.weight_ih_l0.copy_(layer.weight_ih_l0[gates][:, inputs])
    smaller.weight_hh_l0.copy_(layer.weight_hh_l0[gates][:, kept])
    for name in ("bias_ih_l0", "bias_hh_l0"):
        getattr(smaller, name).copy_(getattr(layer, name)[gates])
    return smaller


def worth_of(weight: nn.Parameter, axis: int) -> torch.Tensor:
    """Σ |w ∂L/∂w| of each row (0) or column (1)."""
    product = (weight * weight.grad).abs().detach()
    return product.flatten(1).sum(1) if axis == 0 else product.transpose(0, 1).flatten(1).sum(1)


def best(worth: torch.Tensor, count: int) -> Rows:
    """The places of those that are worth most, in rising order."""
    return worth.topk(count).indices.sort().values


def rounded(count: float) -> int:
    """To a multiple of 4, and not to nothing."""
    return max(MULTIPLE, round(count / MULTIPLE) * MULTIPLE)


def cut(layer: nn.Linear, kept: Rows, axis: int) -> None:
    """Leave only these outputs (0) or inputs (1) of a fully connected layer."""
    layer.weight = nn.Parameter(layer.weight.detach().index_select(axis, kept).clone())
    if axis == 0:
        layer.out_features = len(kept)
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach()[kept].clone())
    else:
        layer.in_features = len(kept)
