"""A transformer whose activations bear 8 bits better, and which computes the same.

A few channels of a transformer's activations are far larger than all others, so that 8 bits leave hardly a step for the
rest. Each channel is divided by a factor, and the weights that it is multiplied by are multiplied by the same: extremes
move from activations into weights, which have them to spare. G. Xiao et al., "SmoothQuant: accurate and efficient
post-training quantization for large language models", arXiv:2211.10438, 2022.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import batch_of, bears_little, prepared_model, watched

STRENGTH = 0.85
"""How much of the extremes moves into the weights: 0 nothing, 1 all. The paper uses 0.5 to 0.85; on MiniLM with the
heads of banking77 0.5 kept 94.5 % of the answers, 0.7 95.2 %, 0.85 97 %, no smoothing 95 %."""


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` with smoothed inputs of its products.

    Raises CandidateFailure for a model that is no transformer.
    """
    model = prepared_model(source, into)
    if not bears_little(model.graph) or not _products(model.graph):
        raise CandidateFailure("build", "it is no transformer: there are no outlying channels to smooth")
    target = into / "model.onnx"
    onnx.save(smooth(model, calibration), str(target))
    return target


def smooth(model: Any, calibration: Mapping[str, Array]) -> Any:
    """The same model, prepared for quantising, with smoothed inputs of its products."""
    products = _products(model.graph)
    largest = _largest(model, list(products), Batches(calibration, batch_of(model.graph)))
    for tensor, nodes in products.items():
        _smooth(model.graph, tensor, nodes, largest[tensor])
    return _in_order(model)


def _products(graph: Any) -> dict[str, list[Any]]:
    """Products of a computed tensor with stored weights, by the name of that tensor."""
    stored = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    read = defaultdict(list)
    for node in graph.node:
        transposed = any(each.name == "transA" and each.i for each in node.attribute)
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in stored and not transposed:
            read[node.input[0]].append(node)
    return dict(read)


def _largest(model: Any, tensors: list[str], batches: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """The largest absolute value of each tensor, per channel (its last axis)."""
    largest: dict[str, Array] = {}
    session = watched(model, tensors)
    for batch in batches:
        for name, values in zip(tensors, session.run(tensors, batch), strict=True):
            here = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, here), here)
    return largest


def _smooth(graph: Any, tensor: str, nodes: list[Any], largest: Array) -> None:
    weights = [_Weights(graph, node) for node in nodes]
    factor = _factor(largest, np.max([np.abs(each.rows).max(axis=1) for each in weights], axis=0))
    divided, name = f"{tensor}/smooth", f"{tensor}/smoothing"
    graph.initializer.append(numpy_helper.from_array((1 / factor).astype(np.float32), name))
    graph.node.append(helper.make_node("Mul", [tensor, name], [divided], name=divided))
    for node, each in zip(nodes, weights, strict=True):
        node.input[0] = divided
        node.input[1] = each.scaled(factor, f"{node.name}/smooth")


def _factor(activations: Array, weights: Array) -> Array:
    """By how much each channel is divided; 1 where nothing was seen of it."""
    seen = (activations > 0) & (weights > 0)
    one, other = np.where(seen, activations, 1.0), np.where(seen, weights, 1.0)
    return np.asarray(one**STRENGTH / other ** (1 - STRENGTH), np.float64)


class _Weights:
    """The weights of one product, a row for each channel of its input."""

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph = graph
        self._transposed = any(each.name == "transB" and each.i for each in node.attribute)
        stored = next(tensor for tensor in graph.initializer if tensor.name == node.input[1])
        array = numpy_helper.to_array(stored)
        self.rows: Array = array.T if self._transposed else array

    def scaled(self, factor: Array, name: str) -> str:
        """Stores the weights with each row multiplied; other operators may read the old ones. Returns the new name."""
        rows = (self.rows * factor[:, None]).astype(np.float32)
        array = np.ascontiguousarray(rows.T if self._transposed else rows)
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def _in_order(model: Any) -> Any:
    """The model with operators after what they read, and without weights that nothing reads any longer."""
    waiting = list(model.graph.node)
    ready = {""} | {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
    del model.graph.node[:]
    while waiting:
        runnable = [node for node in waiting if ready.issuperset(node.input)]
        waiting = [node for node in waiting if not ready.issuperset(node.input)]
        if not runnable:
            raise CandidateFailure("build", f"{waiting[0].name} reads what no operator makes")
        model.graph.node.extend(runnable)
        ready |= {name for node in runnable for name in node.output}
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
