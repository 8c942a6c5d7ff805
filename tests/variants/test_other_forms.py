"""Smaller pictures, half precision, weights in few bits, accuracy control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from outlying import OUTLYING
from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.testing import tiny_model
from steelyard.testing.samples import OnnxSample, tiny_pictures, tiny_transformer
from steelyard.variants import make
from steelyard.variants.onnx_quantising import watched


def run(path: Path, items: Any) -> Array:
    runtime = "onnxruntime" if path.suffix == ".onnx" else "openvino"
    return open_session(runtime, path, SessionSettings()).run(0, items)[0]


@pytest.mark.parametrize(("name", "side"), [("input-85", 96), ("input-70", 96)])
def test_pictures_are_shrunk_inside_the_network(name: str, side: int, tmp_path: Path) -> None:
    sample = tiny_pictures(128)
    made = make(name, sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    model = onnx.load(str(made))
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim][1:] == [3, 128, 128]
    (seen,) = watched(model, ["x/smaller"]).run(["x/smaller"], dict(sample.items(2)))
    assert seen.shape == (2, 3, side, side)


def test_a_plain_picture_is_the_same_at_any_size(tmp_path: Path) -> None:
    sample = tiny_pictures(160)
    items = {"x": np.broadcast_to(np.array([1, -2, 3], np.float32).reshape(1, 3, 1, 1), (2, 3, 160, 160)).copy()}
    made = make("input-70", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    np.testing.assert_allclose(run(made, items), sample.answers(items), rtol=1e-4, atol=1e-4)


def test_pictures_whose_channels_come_last_are_shrunk_in_their_own_axes(tmp_path: Path) -> None:
    nodes: list[Any] = [
        ("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}),
        ("GlobalAveragePool", "t", "p", {}),
        ("Flatten", "p", "y", {}),
    ]
    sample = OnnxSample(nodes, {}, (128, 192, 3), 3)
    made = make("input-70", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    (seen,) = watched(onnx.load(str(made)), ["x/smaller"]).run(["x/smaller"], dict(sample.items(1)))
    assert seen.shape == (1, 96, 128, 3)


def flattened() -> OnnxSample:
    """A network that counts on the size of its picture: it has a weight for each pixel."""
    weights = {"w": np.ones((3 * 128 * 128, 4), np.float32)}
    return OnnxSample([("Flatten", "x", "f", {}), ("MatMul", "f w", "y", {})], weights, (3, 128, 128), 4)


def picture_to_picture() -> OnnxSample:
    return OnnxSample([("ReduceMean", "x", "y", {"axes": [1, 2], "keepdims": 0})], {}, (3, 128, 128), 128)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (flattened(), "does not bear another size"),
        (picture_to_picture(), r"answers \[\(1, 96\)\] instead of \[\(1, 128\)\]"),
        (tiny_transformer(), "found 0"),
        (tiny_pictures(32), "no smaller size at 85 %"),
    ],
    ids=["flattened", "to a picture", "no picture", "small"],
)
def test_a_network_that_bears_no_other_size_is_refused(sample: OnnxSample, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CandidateFailure, match=reason) as caught:
        make("input-85", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    assert caught.value.kind == "build"


def test_a_smaller_picture_goes_together_with_8_bits(tmp_path: Path) -> None:
    sample = tiny_pictures(128)
    items = sample.items(8, seed=2)
    source = sample.write(tmp_path / "m", "onnx")
    small = run(make("input-70", source, tmp_path / "small", {}), items)
    both = run(make("input-70-int8-nncf", source, tmp_path / "both", sample.items(16)), items)
    assert np.abs(both - small).max() < 0.1 * np.abs(small).max()
    assert not np.array_equal(both, small)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["model.bin", "model.xml"]


def test_half_precision_is_inside_only(tmp_path: Path) -> None:
    sample = tiny_pictures(32)
    made = make("fp16", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    graph = onnx.load(str(made)).graph
    weights = [tensor for tensor in graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}
    ends = [*graph.input, *graph.output]
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
    items = sample.items(4)
    got, expected = run(made, items), sample.answers(items)
    np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-2)
    assert not np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("name", "bytes_a_weight", "off"),
    [
        ("int8-weights", 1, 0.02),
        ("int4-weights", 0.5, 0.3),
        ("int8-weights-nncf", 1, 0.02),
        ("int4-weights-nncf", 0.5, 0.3),
    ],
)
def test_weights_take_few_bits_and_answers_stay_near(
    name: str, bytes_a_weight: float, off: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    shapes = {"w1": (256, 512), "w2": (512, 512), "w3": (512, 8)}
    weights = {key: (random.normal(size=shape) / 16).astype(np.float32) for key, shape in shapes.items()}
    nodes: list[Any] = [
        *(("MatMul", "x w1", "a", {}), ("Relu", "a", "b", {})),
        *(("MatMul", "b w2", "c", {}), ("Relu", "c", "d", {}), ("MatMul", "d w3", "y", {})),
    ]
    sample = OnnxSample(nodes, weights, (256,))
    made = make(name, sample.write(tmp_path / "m", "onnx"), tmp_path / "out", {})
    size = sum(path.stat().st_size for path in made.parent.iterdir())
    assert size < 1.35 * bytes_a_weight * sum(array.size for array in weights.values()) + 20_000
    items = sample.items(20)
    got, expected = run(made, items), sample.answers(items)
    assert 0 < np.abs(got - expected).mean() < off * np.abs(expected).mean()


def test_accuracy_control_gives_back_what_8_bits_destroy(tmp_path: Path) -> None:
    source, calibration = OUTLYING.write(tmp_path / "m", "onnx"), OUTLYING.items(64)
    judging = OUTLYING.items(400, seed=9)
    expected = OUTLYING.answers(judging).argmax(1)
    kept = {
        name: (run(make(name, source, tmp_path / name, calibration), judging).argmax(1) == expected).mean()
        for name in ("int8-nncf", "int8-controlled")
    }
    assert kept["int8-nncf"] < 0.8
    assert kept["int8-controlled"] > 0.95


def test_accuracy_control_is_refused_where_plain_8_bits_do(tmp_path: Path) -> None:
    with pytest.raises(CandidateFailure, match="it is int8-nncf") as caught:
        make("int8-controlled", tiny_model.write(tmp_path / "m", "onnx"), tmp_path / "out", tiny_model.items(16))
    assert caught.value.kind == "build"
