"""Small models to make variants of: one that attends, one that looks at pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from steelyard.records.engine import Array
from steelyard.records.model import ModelFormat
from steelyard.testing.tiny_model import to_openvino

Node = tuple[str, str, str, Mapping[str, Any]]
"""Operator, the names that it reads, the name of what it makes, attributes."""

OUTPUTS = 8


class Sample(Protocol):
    """A model to check a variant on; `steelyard.testing.tiny_model` is one as well."""

    def write(self, folder: Path, form: ModelFormat) -> Path:
        """Writes the model into the new `folder` in the format asked for; returns its main file."""

    def items(self, count: int, seed: int = 0) -> Mapping[str, Array]:
        """Inputs for `count` items."""

    def answers(self, inputs: Mapping[str, Array]) -> Array:
        """What the model answers, in its first output."""


class OnnxSample:
    """A model given by its nodes, its weights and the shape of one item; its answers are ONNX Runtime's.

    The nodes begin with `x` and end in `y`, [items, outputs].
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        weights: Mapping[str, Array],
        shape: tuple[int, ...],
        outputs: int = OUTPUTS,
    ) -> None:
        self._nodes = nodes
        self._weights = weights
        self._shape = shape
        self._outputs = outputs

    def write(self, folder: Path, form: ModelFormat) -> Path:
        """See `Sample`."""
        import onnx

        folder.mkdir(parents=True)
        path = folder / "sample.onnx"
        onnx.save(self._model(), str(path))
        if form == "onnx":
            return path
        converted = to_openvino(path)
        path.unlink()
        return converted

    def items(self, count: int, seed: int = 0) -> Mapping[str, Array]:
        """Values from a normal distribution, float32."""
        return {"x": np.random.default_rng(seed).normal(size=(count, *self._shape)).astype(np.float32)}

    def answers(self, inputs: Mapping[str, Array]) -> Array:
        """See `Sample`."""
        import onnxruntime

        session = onnxruntime.InferenceSession(self._model().SerializeToString(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, dict(inputs))[0])

    def _model(self) -> Any:
        import onnx
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node(op, reads.split(), [made], made, **extra) for op, reads, made, extra in self._nodes],
            "sample",
            [value("x", TensorProto.FLOAT, ["n", *self._shape])],
            [value("y", TensorProto.FLOAT, ["n", self._outputs])],
            [onnx.numpy_helper.from_array(array, name) for name, array in self._weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def tiny_transformer() -> OnnxSample:
    """One attention over 8 tokens of 16 channels, of which one is far larger than the others: x [n, 8, 16]."""
    random = np.random.default_rng(1)
    size, tokens = 16, 8
    scale = np.ones(size, np.float32)
    scale[3] = 60.0
    weights: dict[str, Array] = {"scale": scale, "shift": np.zeros(size, np.float32)}
    weights["root"] = np.array([0.25], np.float32)
    weights |= {name: random.normal(size=(size, size)).astype(np.float32) / 4 for name in ("wq", "wk", "wv", "wo")}
    weights["head"] = random.normal(size=(size, OUTPUTS)).astype(np.float32)
    for name in ("wq", "wk", "wv"):
        weights[name][3] /= 60.0
    nodes: list[Node] = [
        ("LayerNormalization", "x scale shift", "normed", {"axis": -1}),
        *(("MatMul", f"normed w{each}", each, {}) for each in "qkv"),
        ("Transpose", "k", "kt", {"perm": [0, 2, 1]}),
        ("MatMul", "q kt", "scores", {}),
        ("Mul", "scores root", "scaled", {}),
        ("Softmax", "scaled", "shares", {"axis": -1}),
        ("MatMul", "shares v", "mixed", {}),
        ("MatMul", "mixed wo", "told", {}),
        ("Add", "told x", "sum", {}),
        ("ReduceMean", "sum", "mean", {"axes": [1], "keepdims": 0}),
        ("MatMul", "mean head", "y", {}),
    ]
    return OnnxSample(nodes, weights, (tokens, size))


def tiny_pictures(side: int = 128) -> OnnxSample:
    """Two convolutions, pooled over whatever is left of the picture: x [n, 3, side, side]."""
    random = np.random.default_rng(2)
    weights: dict[str, Array] = {
        "first": random.normal(size=(8, 3, 3, 3)).astype(np.float32) / 5,
        "second": random.normal(size=(8, 8, 3, 3)).astype(np.float32) / 8,
        "head": random.normal(size=(8, OUTPUTS)).astype(np.float32),
        "bias": random.normal(size=OUTPUTS).astype(np.float32),
    }
    nodes: list[Node] = [
        ("Conv", "x first", "a", {"strides": [4, 4]}),
        ("Relu", "a", "b", {}),
        ("Conv", "b second", "c", {"strides": [2, 2]}),
        ("Relu", "c", "d", {}),
        ("GlobalAveragePool", "d", "e", {}),
        ("Flatten", "e", "f", {}),
        ("Gemm", "f head bias", "y", {}),
    ]
    return OnnxSample(nodes, weights, (3, side, side))
