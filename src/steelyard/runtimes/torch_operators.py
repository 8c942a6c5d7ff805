"""The table of ONNX operators for torch; arithmetic is here, layers and shapes stand in files of their own.

Each entry takes what is known of a node when the model is opened and returns the function that is called, with the
node's inputs (None for those left out), in each run. Semantics: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from steelyard.errors import CandidateFailure
from steelyard.runtimes.torch_layers import LAYERS
from steelyard.runtimes.torch_node import Function, Node
from steelyard.runtimes.torch_shapes import SHAPES


def _always(function: Function) -> Callable[[Node], Function]:
    """For operators without attributes."""
    return lambda _node: function


def _div(_node: Node) -> Function:
    def divide(x: Any, y: Any) -> Any:
        return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")

    return divide


def _mod(node: Node) -> Function:
    function: Function = torch.fmod if node.attribute("fmod", 0) else torch.remainder
    return function


def _folded(function: Function) -> Callable[[Node], Function]:
    """For operators that take any number of inputs."""
    return _always(lambda *inputs: functools.reduce(function, inputs))


def _clip(node: Node) -> Function:
    if node.opset < 11:
        low, high = node.attribute("min", None), node.attribute("max", None)
        return lambda x: _clamped(x, low, high)
    if any(node.has_input(at) and node.known[at] is None for at in (1, 2)):
        return _clamped
    # torch clips by plain numbers sooner than by tensors.
    least, most = (node.known[at].item() if node.has_input(at) else None for at in (1, 2))
    return lambda x, *_: _clamped(x, least, most)


def _clamped(x: Any, low: Any = None, high: Any = None) -> Any:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _dropout(node: Node) -> Function:
    if node.has_input(2) and (node.known[2] is None or node.known[2].item()):
        raise CandidateFailure("unsupported", "Dropout in training mode is not inference")
    return lambda x, *_: x


def _trilu(node: Node) -> Function:
    cut = torch.triu if node.attribute("upper", 1) else torch.tril
    return lambda x, k=None: cut(x, 0 if k is None else k.item())


def _cumsum(node: Node) -> Function:
    if node.attribute("exclusive", 0) or node.attribute("reverse", 0):
        raise CandidateFailure("unsupported", "torch has no function for CumSum that is exclusive or reversed")
    return lambda x, axis: torch.cumsum(x, axis.item(), dtype=x.dtype)


def _argmax(node: Node) -> Function:
    if node.attribute("select_last_index", 0):
        raise CandidateFailure("unsupported", "torch has no function for ArgMax that selects the last index")
    axis, keep = node.attribute("axis", 0), bool(node.attribute("keepdims", 1))
    return lambda x: torch.argmax(x, axis, keep)


def _reduce(function: Callable[[Any, Sequence[int], bool], Any]) -> Callable[[Node], Function]:
    def build(node: Node) -> Function:
        given, keep = node.attribute("axes", None), bool(node.attribute("keepdims", 1))
        empty_is_noop = node.attribute("noop_with_empty_axes", 0)

        def reduce(x: Any, axes: Any = None) -> Any:
            chosen = given if axes is None else axes.tolist()
            if not chosen and empty_is_noop:
                return x
            return function(x, chosen or range(x.dim()), keep)

        return reduce

    return build


OPERATORS: dict[str, Callable[[Node], Function]] = {
    **LAYERS,
    **SHAPES,
    "Abs": _always(torch.abs),
    "Add": _always(torch.add),
    "And": _always(torch.logical_and),
    "ArgMax": _argmax,
    "Ceil": _always(torch.ceil),
    "Clip": _clip,
    "Cos": _always(torch.cos),
    "CumSum": _cumsum,
    "Div": _div,
    "Dropout": _dropout,
    "Einsum": lambda node: functools.partial(torch.einsum, node.attribute("equation", "")),
    "Equal": _always(torch.eq),
    "Erf": _always(torch.erf),
    "Exp": _always(torch.exp),
    "Floor": _always(torch.floor),
    "Greater": _always(torch.gt),
    "GreaterOrEqual": _always(torch.ge),
    "Identity": _always(lambda x: x),
    "IsNaN": _always(torch.isnan),
    "Less": _always(torch.lt),
    "LessOrEqual": _always(torch.le),
    "Log": _always(torch.log),
    "MatMul": _always(torch.matmul),
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Mod": _mod,
    "Mul": _always(torch.mul),
    "Neg": _always(torch.neg),
    "Not": _always(torch.logical_not),
    "Or": _always(torch.logical_or),
    "Pow": _always(lambda x, y: torch.pow(x, y).to(x.dtype)),
    "Reciprocal": _always(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=tuple(axes), keepdim=keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: torch.amax(x, tuple(axes), keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: torch.mean(x, tuple(axes), keep)),
    "ReduceMin": _reduce(lambda x, axes, keep: torch.amin(x, tuple(axes), keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: torch.sum(x, tuple(axes), keep, dtype=x.dtype)),
    "Round": _always(torch.round),
    "Sign": _always(torch.sign),
    "Sin": _always(torch.sin),
    "Sqrt": _always(torch.sqrt),
    "Sub": _always(torch.sub),
    "Sum": _folded(torch.add),
    "Trilu": _trilu,
    "Where": _always(torch.where),
    "Xor": _always(torch.logical_xor),
}
