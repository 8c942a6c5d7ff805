"""ONNX operators that move, cut and index, for torch. Semantics: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - everyone calls it so

from steelyard.errors import CandidateFailure
from steelyard.runtimes.torch_node import Function, Node

DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""TensorProto.DataType → torch dtype."""


def _cast(node: Node) -> Function:
    code = node.attribute("to", 0)
    if code not in DTYPES:
        raise CandidateFailure("unsupported", f"torch cannot cast to ONNX type {code}")
    dtype = DTYPES[code]
    return lambda x: x.to(dtype)


def _shape(node: Node) -> Function:
    start, end = node.attribute("start", 0), node.attribute("end", None)
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _reshape(node: Node) -> Function:
    keep_zero = node.attribute("allowzero", 0)

    def reshape(x: Any, shape: Any) -> Any:
        sizes = shape.tolist()
        if not keep_zero and 0 in sizes:
            sizes = [size or x.shape[axis] for axis, size in enumerate(sizes)]
        return x.reshape(sizes)

    return reshape


def _flatten(node: Node) -> Function:
    axis = node.attribute("axis", 1)

    def flatten(x: Any) -> Any:
        rows = x.shape[:axis].numel()
        return x.reshape(rows, -1) if rows else x.reshape(0, x.shape[axis:].numel())

    return flatten


def _transpose(node: Node) -> Function:
    order = node.attribute("perm", None)
    return lambda x: x.permute(order or tuple(reversed(range(x.dim()))))


def _squeeze(node: Node) -> Function:
    given = node.attribute("axes", None)

    def squeeze(x: Any, axes: Any = None) -> Any:
        chosen = given if axes is None else axes.tolist()
        return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))

    return squeeze


def _unsqueeze(node: Node) -> Function:
    given = node.attribute("axes", None)

    def unsqueeze(x: Any, axes: Any = None) -> Any:
        chosen = given if axes is None else axes.tolist()
        rank = x.dim() + len(chosen)
        for axis in sorted(axis % rank for axis in chosen):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _concat(node: Node) -> Function:
    axis = node.attribute("axis", 0)
    return lambda *inputs: torch.cat(inputs, axis)


def _split(node: Node) -> Function:
    axis, given, parts = node.attribute("axis", 0), node.attribute("split", None), node.outputs

    def split(x: Any, sizes: Any = None) -> Any:
        wanted = given if sizes is None else sizes.tolist()
        return torch.split(x, wanted or -(-x.shape[axis] // parts), axis)

    return split


def _slice(node: Node) -> Function:
    if node.opset < 10:
        fixed = [node.attribute(name, None) for name in ("starts", "ends", "axes", "steps")]
        return lambda x: _sliced(x, *fixed)

    def cut(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        return _sliced(x, *(None if each is None else each.tolist() for each in (starts, ends, axes, steps)))

    if any(value is None for value, name in zip(node.known[1:], node.inputs[1:], strict=True) if name):
        return cut
    listed = [None if each is None else each.tolist() for each in (*node.known[1:], None, None)[:4]]
    return lambda x, *_: _sliced(x, *listed)


def _sliced(x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    for at, (start, end) in enumerate(zip(starts, ends, strict=True)):
        x = _cut(x, axes[at] if axes else at, slice(start, end, steps[at] if steps else 1))
    return x


def _cut(x: Any, axis: int, wanted: slice) -> Any:
    # Exporters write "to the end" as the largest integer there is, which torch warns about.
    start, stop, step = wanted.indices(x.shape[axis])
    if step > 0:
        return x[(slice(None),) * (axis % x.dim()) + (slice(start, stop, step),)]
    return x.index_select(axis, torch.tensor(range(start, stop, step), dtype=torch.int64))


def _gather(node: Node) -> Function:
    axis = node.attribute("axis", 0)

    def gather(x: Any, indices: Any) -> Any:
        if indices.dim() == 0:
            return x.select(axis, indices.item())
        return x[(slice(None),) * (axis % x.dim()) + (indices.long(),)]

    return gather


def _gather_elements(node: Node) -> Function:
    axis = node.attribute("axis", 0)
    return lambda x, indices: torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def _expand(x: Any, shape: Any) -> Any:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _constant_of_shape(node: Node) -> Function:
    value = node.attribute("value", torch.zeros(1))
    return lambda shape: torch.full(shape.tolist(), value.item(), dtype=value.dtype)


def _range(start: Any, limit: Any, delta: Any) -> Any:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _pad(node: Node) -> Function:
    mode = node.attribute("mode", "constant")
    torch_mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode]
    given, fill = node.attribute("pads", None), node.attribute("value", 0.0)

    def pad(x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
        flat = given if pads is None else pads.tolist()
        pairs = [(0, 0)] * x.dim()
        chosen = range(x.dim()) if axes is None else axes.tolist()
        for at, axis in enumerate(chosen):
            pairs[axis] = (flat[at], flat[at + len(chosen)])
        while len(pairs) > 1 and pairs[0] == (0, 0):
            pairs.pop(0)
        last_axis_first = [size for pair in reversed(pairs) for size in pair]
        return F.pad(x, last_axis_first, torch_mode, fill if value is None else value.item())

    return pad


SHAPES: dict[str, Callable[[Node], Function]] = {
    "Cast": _cast,
    "CastLike": lambda _node: lambda x, like: x.to(like.dtype),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": lambda _node: _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Range": lambda _node: _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda _node: lambda x, repeats: x.repeat(repeats.tolist()),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
