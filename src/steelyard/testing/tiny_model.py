"""A model of two operators, small enough to know its answers by heart: relu(x W + b), any number of items."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.records.engine import Array
from steelyard.records.model import ModelFormat

INPUT = "x"
FEATURES = 16
OUTPUTS = 8


def items(count: int, seed: int = 0) -> Mapping[str, Array]:
    """Inputs for `count` items: float32 [count, 16]."""
    return {INPUT: np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)}


def answers(inputs: Mapping[str, Array]) -> Array:
    """What the model must answer: float32 [count, 8]."""
    weights, bias = _parameters()
    product: Array = inputs[INPUT] @ weights + bias
    return np.maximum(product, 0)


def write(folder: Path, form: ModelFormat) -> Path:
    """Writes the model into the empty `folder` in the format asked for; returns its main file."""
    folder.mkdir(parents=True)
    return _write_onnx(folder) if form == "onnx" else _write_openvino(folder)


def _parameters() -> tuple[Array, Array]:
    random = np.random.default_rng(1)
    weights = random.normal(size=(FEATURES, OUTPUTS)).astype(np.float32)
    return weights, random.normal(size=OUTPUTS).astype(np.float32)


def _write_onnx(folder: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    weights, bias = _parameters()
    graph = helper.make_graph(
        [helper.make_node("Gemm", [INPUT, "w", "b"], ["sum"]), helper.make_node("Relu", ["sum"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", OUTPUTS])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / "tiny.onnx"
    onnx.save(model, str(path))
    return path


def _write_openvino(folder: Path) -> Path:
    source = _write_onnx(folder)
    path = to_openvino(source)
    source.unlink()
    return path


def to_openvino(source: Path) -> Path:
    """The ONNX model at `source` as an IR beside it."""
    # See runtimes/openvino.py: this keeps OpenVINO from the network.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    path = source.with_suffix(".xml")
    openvino.save_model(openvino.Core().read_model(str(source)), str(path), compress_to_fp16=False)
    return path
