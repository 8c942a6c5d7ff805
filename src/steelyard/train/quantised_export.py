"""A network trained for 8 bits becomes an ONNX file in 8 bits: pairs of quantise and dequantise that engines fuse.

Scales of weights follow from the weights, exactly as in training. Ranges of what goes into each layer are those learnt;
of what lies between (sums, pooled and normalised values), which training left in float, they are seen on items of the
training part. What comes before the first layer, the preparation, stays in float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from steelyard.records.engine import Array
from steelyard.train.quantising import In8Bits
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import batch_of, prepare, require_quantised
from steelyard.variants.qdq import Ranges, operators, quantise
from steelyard.variants.ranges import ranges

PRODUCTS = ("Conv", "Gemm", "MatMul")
BETWEEN = (
    "Add", "AveragePool", "Clip", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose",
)  # fmt: skip
"""Operators that engines compute in 8 bits between layers in 8 bits, of networks that convolve."""


def write_in_8_bits(model: Path, layers: Sequence[In8Bits], items: Mapping[str, Array], target: Path) -> Path:
    """Write `target`: the float `model` with its `layers` in 8 bits; `items`, by input, show what lies between.

    Raises CandidateFailure when the tool finds nothing that it can quantise.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantise-") as folder:
        learnt = _learnt(onnx.load(str(model)), layers)
        prepared = prepare(model, Path(folder))
        graph = onnx.load(str(prepared)).graph
        seen = ranges(prepared, Batches(items, batch_of(graph)), operators(graph))
        known = {name: span for name, span in learnt.items() if name in seen}
        quantise(prepared, target, {**seen, **known}, in_float=_left_in_float(graph))
        require_quantised(prepared, target)
    return target


def _learnt(model: Any, layers: Sequence[In8Bits]) -> Ranges:
    """By the name of the tensor that goes into each layer, found in the file by its weights."""
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS and node.input[1] in stored]
    found: dict[str, tuple[float, float]] = {}
    for layer in layers:
        pattern = _pattern(layer.layer.weight.detach().cpu().numpy())
        node = next((node for node in products if _shows(stored[node.input[1]], pattern)), None)
        if node is not None:
            low, high = min(float(layer.low), 0.0), max(float(layer.high), 0.0)
            before = found.get(node.input[0], (low, high))
            found[node.input[0]] = min(low, before[0]), max(high, before[1])
    return found


def _pattern(weight: Array) -> Array:
    """Each output channel over its largest weight: what stays when a normalisation is folded into the layer."""
    rows = weight.reshape(len(weight), -1)
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(1)]
    return rows / np.where(largest == 0, 1, largest)[:, None]


def _shows(weight: Array, pattern: Array) -> bool:
    """Whether the weights of a node in the file, or their transpose, are those of the pattern."""
    patterns = [_pattern(each) for each in (weight, *([weight.T] if weight.ndim == 2 else []))]
    return any(each.shape == pattern.shape and np.allclose(each, pattern, atol=1e-4) for each in patterns)


def _left_in_float(graph: Any) -> list[str]:
    """Names of the operators that are not to be quantised: all but layers and what lies between or behind them."""
    stored = {each.name for each in graph.initializer}
    convolves = any(node.op_type == "Conv" for node in graph.node)
    behind: set[str] = set()
    left = []
    for node in graph.node:
        is_layer = node.op_type in PRODUCTS and len(node.input) > 1 and node.input[1] in stored
        if is_layer or behind & set(node.input):
            behind.update(node.output)
        if not (is_layer or (convolves and node.op_type in BETWEEN and behind & set(node.input))):
            left.append(node.name)
    return left
