"""ONNX's recurrent operators for torch, whose gates stand in another order.

Semantics: https://onnx.ai/onnx/operators/onnx__LSTM.html, …GRU.html, …RNN.html; torch's order is told in the
documentation of `torch.nn.LSTM` (input, forget, cell, output) and `torch.nn.GRU` (reset, update, new).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from steelyard.errors import CandidateFailure
from steelyard.runtimes.torch_node import Function, Node


class _Layer:
    """What LSTM, GRU and RNN share. `order`: which of ONNX's gates comes first, second … in torch."""

    def __init__(self, node: Node, order: Sequence[int], activations: Sequence[str]) -> None:
        direction = node.attribute("direction", "forward")
        self.both, self.reverse = direction == "bidirectional", direction == "reverse"
        self.directions = 2 if self.both else 1
        _require_plain(node, [*activations] * self.directions)
        self.hidden = node.attributes["hidden_size"]
        self.biased = node.has_input(3)
        self.weights = self._weights(node, order)

    def _weights(self, node: Node, order: Sequence[int]) -> list[Any]:
        """Per direction: input weights [G·H, I], recurrent weights [G·H, H], and the two biases [G·H] if any."""
        w, r, *rest = node.known[1 : 4 if self.biased else 3]
        weights = []
        for at in range(self.directions):
            biases = rest[0][at].chunk(2) if self.biased else ()
            weights += [_reordered(each, order) for each in (w[at], r[at], *biases)]
        return weights

    def turned(self, x: Any) -> Any:
        """`x` [time, …] in the order in which it is read (or written)."""
        return x.flip(0) if self.reverse else x

    def start(self, x: Any, given: Any) -> Any:
        """The state [directions, batch, hidden] to begin with."""
        return x.new_zeros(self.directions, x.shape[1], self.hidden) if given is None else given

    def laid_out(self, y: Any) -> Any:
        """torch's [time, batch, directions · hidden] as ONNX's [time, directions, batch, hidden]."""
        y = self.turned(y)
        if not self.both:
            return y.unsqueeze(1)
        return y.view(y.shape[0], y.shape[1], 2, self.hidden).transpose(1, 2)


def _require_plain(node: Node, activations: list[str]) -> None:
    """Raises CandidateFailure for what torch's own layers cannot do."""
    odd = [name for name in ("clip", "input_forget", "layout") if node.attribute(name, 0)]
    if node.attribute("activations", activations) != activations:
        odd.append("activations")
    if node.has_input(4):
        odd.append("sequence_lens")
    if node.has_input(7):
        odd.append("peepholes")
    if any(value is None for value, name in zip(node.known[1:4], node.inputs[1:4], strict=True) if name):
        odd.append("weights that are not constant")
    if odd:
        raise CandidateFailure("unsupported", f"torch has no function for {node.operator} with {', '.join(odd)}")


def _reordered(weight: Any, order: Sequence[int]) -> Any:
    gates = weight.chunk(len(order))
    return torch.cat([gates[at] for at in order]).contiguous()


def _lstm(node: Node) -> Function:
    layer = _Layer(node, (0, 2, 3, 1), ["Sigmoid", "Tanh", "Tanh"])

    def lstm(x: Any, _w: Any, _r: Any, _b: Any = None, _n: Any = None, h: Any = None, c: Any = None) -> Any:
        state = (layer.start(x, h), layer.start(x, c))
        y, hidden, cell = torch.lstm(
            layer.turned(x), state, layer.weights, layer.biased, 1, 0.0, False, layer.both, False
        )
        return layer.laid_out(y), hidden, cell

    return lstm


def _gru(node: Node) -> Function:
    if not node.attribute("linear_before_reset", 0):
        raise CandidateFailure("unsupported", "torch has no function for GRU without linear_before_reset")
    return _one_state(_Layer(node, (1, 0, 2), ["Sigmoid", "Tanh"]), torch.gru)


def _rnn(node: Node) -> Function:
    kind = node.attribute("activations", ["Tanh"])[0]
    return _one_state(_Layer(node, (0,), [kind]), torch.rnn_relu if kind == "Relu" else torch.rnn_tanh)


def _one_state(layer: _Layer, function: Function) -> Function:
    def recur(x: Any, _w: Any, _r: Any, _b: Any = None, _n: Any = None, h: Any = None) -> Any:
        state = layer.start(x, h)
        y, hidden = function(layer.turned(x), state, layer.weights, layer.biased, 1, 0.0, False, layer.both, False)
        return layer.laid_out(y), hidden

    return recur


RECURRENT: dict[str, Callable[[Node], Function]] = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}
