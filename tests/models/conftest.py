"""Small real models for the tests, made where they are needed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rights


@pytest.fixture
def small_model() -> onnx.ModelProto:
    """y = x·w + b through an If, with 4 numbers in and 3 out, any batch; every kind of tensor holder is in it."""
    w = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    b = numpy_helper.from_array(np.zeros(3, np.float32), "b")
    yes = numpy_helper.from_array(np.array(True), "yes")
    branches = [
        helper.make_graph([helper.make_node(kind, ["y0"], [kind])], kind, [], [_number(kind, None)])
        for kind in ("Identity", "Neg")
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["y0"]),
        helper.make_node("Constant", [], ["c"], value=yes),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    graph = helper.make_graph(nodes, "small", [_number("x", ["n", 4])], [_number("y", ["n", 3])], [w, b])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="test", ir_version=8)


@pytest.fixture
def small_onnx(small_model: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(small_model, path)
    return path


@pytest.fixture
def with_external_data(small_model: onnx.ModelProto, tmp_path: Path) -> Path:
    """The same model, its initializers in `weights/data.bin`."""
    folder = tmp_path / "external"
    (folder / "weights").mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(
        small_model,
        path,
        save_as_external_data=True,
        location="weights/data.bin",
        size_threshold=0,
        convert_attribute=False,
    )
    return path


@pytest.fixture
def unprivileged() -> contextlib.AbstractContextManager[None]:
    """Inside it the process has an ordinary user's rights, also where the tests run as root."""
    return rights.unprivileged()


def _number(name: str, shape: list[str | int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
