"""The ladder: a few layers in float, the rest in 8 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from outlying import OUTLYING, SECOND
from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.testing import tiny_model
from steelyard.testing.samples import OnnxSample
from steelyard.variants import make, make_step
from steelyard.variants.onnx_quantising import prepare, watched
from steelyard.variants.qdq import operators, quantise
from steelyard.variants.ranges import ranges

CALIBRATION, JUDGING = OUTLYING.items(64), OUTLYING.items(400, seed=9)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return OUTLYING.write(tmp_path_factory.mktemp("given") / "m", "onnx")


def agreement(made: Path) -> float:
    runtime = "onnxruntime" if made.suffix == ".onnx" else "openvino"
    got = open_session(runtime, made, SessionSettings()).run(0, JUDGING)[0]
    return float((got.argmax(1) == OUTLYING.answers(JUDGING).argmax(1)).mean())


@pytest.mark.parametrize(("tool", "kept"), [("static", 0.97), ("nncf", 0.9)])
def test_the_layer_that_8_bits_destroy_is_returned_to_float(
    tool: str, kept: float, source: Path, tmp_path: Path
) -> None:
    assert agreement(make(f"int8-{tool}", source, tmp_path / "plain", CALIBRATION)) < 0.8
    made = make(f"int8-{tool}-mixed-1", source, tmp_path / "mixed", CALIBRATION)
    assert agreement(made) >= kept
    assert float_products(made) == [SECOND]
    told = json.loads((made.parent / "layers.json").read_text())
    assert told[0]["names"] == [SECOND]
    assert told[0]["divergence"] > 10 * told[1]["divergence"]


def float_products(made: Path) -> list[str]:
    """The products of the model whose weights are stored in single precision."""
    if made.suffix == ".onnx":
        graph = onnx.load(str(made)).graph
        stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
        return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored]
    import openvino

    model = openvino.Core().read_model(str(made))
    products = [each for each in model.get_ordered_ops() if each.get_type_name() == "MatMul"]
    kinds = {each.get_friendly_name(): each.input_value(1).get_node().get_type_name() for each in products}
    return [name for name, kind in kinds.items() if kind == "Constant"]


def test_what_the_float_layer_reads_is_not_rounded_either(source: Path, tmp_path: Path) -> None:
    """The layer before it runs in 8 bits, and must not hand its result on in 8 bits."""
    made = make("int8-static-mixed-1", source, tmp_path / "mixed", CALIBRATION)
    graph = onnx.load(str(made)).graph
    maker = {name: node for node in graph.node for name in node.output}
    second = next(node for node in graph.node if node.name == SECOND)
    assert maker[second.input[0]].op_type == "Relu"
    assert maker[maker[second.input[0]].input[0]].op_type == "MatMul"


@pytest.mark.parametrize("tool", ["static", "nncf"])
def test_rungs_share_one_study_and_hold_nested_sets(tool: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    studied = make_step(f"studied-{tool}", source, tmp_path / "study", CALIBRATION)
    one, two = (
        set(float_products(make_step(f"int8-{tool}-mixed-{count}", studied, tmp_path / str(count), CALIBRATION)))
        for count in (1, 2)
    )
    assert one == {SECOND}
    assert one < two
    assert len(two) == 2


@pytest.mark.parametrize("name", ["int8-static-mixed-4", "int8-nncf-mixed-8"])
def test_a_rung_that_would_leave_nothing_in_8_bits_is_refused(name: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CandidateFailure, match=r"it has 3 layers: with \d in float nothing is left in 8 bits"
    ) as caught:
        make(name, source, tmp_path / "out", CALIBRATION)
    assert caught.value.kind == "build"


def test_onnxruntime_does_not_quantise_the_float_layer_after_all(tmp_path: Path) -> None:
    """Left to itself its optimiser gives the float convolution weights of 8 bits, with one scale for all channels."""
    items = unequal_channels().items(32)
    prepared = prepare(unequal_channels().write(tmp_path / "m", "onnx"), tmp_path)
    made, spoilt = tmp_path / "made.onnx", tmp_path / "spoilt.onnx"
    quantise(prepared, made, ranges(prepared, [items], operators(onnx.load(str(prepared)).graph)), in_float=["c"])
    model = onnx.load(str(made))
    assert [node.op_type for node in model.graph.node if "Conv" in node.op_type] == ["Conv", "FusedConv"]
    for node in model.graph.node:
        if node.op_type == "FusedConv":
            node.op_type, node.domain = "Conv", ""
    onnx.save(model, str(spoilt))
    assert moved(made, items) < 0.1
    assert moved(spoilt, items) > 3 * moved(made, items), "is FusedConv not needed any more?"


def test_a_float_product_with_a_bias_is_computed_as_it_was(tmp_path: Path) -> None:
    """`FusedGemm` insists on an activation: it must not change anything, negative values least of all."""
    items = tiny_model.items(32)
    prepared = prepare(tiny_model.write(tmp_path / "m", "onnx"), tmp_path)
    model = onnx.load(str(prepared))
    product = next(node for node in model.graph.node if node.op_type == "Gemm")
    model.graph.output.append(onnx.helper.make_tensor_value_info(product.output[0], onnx.TensorProto.FLOAT, None))
    onnx.save(model, str(prepared))
    seen = ranges(prepared, [items], operators(model.graph))
    quantise(prepared, tmp_path / "made.onnx", seen, in_float=[product.name], unrounded=[product.name])
    graph = onnx.load(str(tmp_path / "made.onnx")).graph
    assert "FusedGemm" in {node.op_type for node in graph.node}
    (got,), (expected,) = (
        watched(onnx.load(str(path)), [product.output[0]]).run([product.output[0]], dict(items))
        for path in (tmp_path / "made.onnx", prepared)
    )
    assert (expected < 0).any()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def moved(path: Path, items: Any) -> float:
    """How far the answers move when ONNX Runtime optimises the model."""
    return float(np.abs(answers(path, items, "ORT_ENABLE_ALL") - answers(path, items, "ORT_DISABLE_ALL")).max())


def unequal_channels() -> OnnxSample:
    """Two convolutions and a product; the channels that the second one makes differ in size thirty-fold."""
    random = np.random.default_rng(0)
    weights: dict[str, Array] = {
        "first": random.normal(size=(8, 3, 3, 3)).astype(np.float32) / 5,
        "second": random.normal(size=(8, 8, 3, 3)).astype(np.float32) / 8,
        "head": random.normal(size=(8, 4)).astype(np.float32),
        "bias": np.zeros(4, np.float32),
    }
    weights["second"][0] *= 30
    weights["head"][0] /= 30
    nodes: list[Any] = [
        ("Conv", "x first", "a", {"strides": [2, 2]}),
        ("Relu", "a", "b", {}),
        ("Conv", "b second", "c", {}),
        ("Relu", "c", "d", {}),
        ("GlobalAveragePool", "d", "e", {}),
        ("Flatten", "e", "f", {}),
        ("Gemm", "f head bias", "y", {}),
    ]
    return OnnxSample(nodes, weights, (3, 16, 16), 4)


def answers(path: Path, items: Any, level: str) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return np.asarray(onnxruntime.InferenceSession(str(path), options).run(None, dict(items))[0])
