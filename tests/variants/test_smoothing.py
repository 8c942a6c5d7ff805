"""SmoothQuant: the same answers in float, better ones in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.testing.samples import OnnxSample, tiny_pictures, tiny_transformer
from steelyard.variants import make
from steelyard.variants.onnx_quantising import watched

SAMPLE = tiny_transformer()
CALIBRATION, ITEMS = SAMPLE.items(64), SAMPLE.items(100, seed=7)


def answers(path: Path, sample: OnnxSample = SAMPLE) -> Array:
    items = ITEMS if sample is SAMPLE else sample.items(20, seed=7)
    return open_session("onnxruntime", path, SessionSettings()).run(0, items)[0]


def test_the_smoothed_model_answers_as_before_and_has_no_outlying_channel(tmp_path: Path) -> None:
    source = SAMPLE.write(tmp_path / "m", "onnx")
    made = make("smoothed", source, tmp_path / "out", CALIBRATION)
    np.testing.assert_allclose(answers(made), SAMPLE.answers(ITEMS), rtol=1e-3, atol=1e-4)
    model = onnx.load(str(made))
    before, after = watched(model, ["normed", "normed/smooth"]).run(["normed", "normed/smooth"], dict(ITEMS))
    assert outlying(before) > 10
    assert outlying(after) < outlying(before) / 5


def outlying(values: Array) -> float:
    """How much larger the largest channel is than the one in the middle."""
    largest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
    return float(largest.max() / np.median(largest))


def test_products_that_read_the_same_tensor_share_one_division(tmp_path: Path) -> None:
    made = make("smoothed", SAMPLE.write(tmp_path / "m", "onnx"), tmp_path / "out", CALIBRATION)
    graph = onnx.load(str(made)).graph
    readers = [node.name for node in graph.node if "normed/smooth" in node.input]
    assert len(readers) == 3
    assert sum(node.output[0] == "normed/smooth" for node in graph.node) == 1


def test_a_transposed_weight_is_scaled_by_its_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {
        "scale": np.array([1, 1, 50, 1], np.float32),
        "shift": np.zeros(4, np.float32),
        "w": random.normal(size=(6, 4)).astype(np.float32),
        "bias": np.zeros(6, np.float32),
    }
    sample = OnnxSample(
        [
            ("LayerNormalization", "x scale shift", "normed", {"axis": -1}),
            ("Gemm", "normed w bias", "y", {"transB": 1}),
        ],
        weights,
        (4,),
        6,
    )
    made = make("smoothed", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", sample.items(16))
    np.testing.assert_allclose(answers(made, sample), sample.answers(sample.items(20, seed=7)), rtol=1e-3, atol=1e-3)


def test_eight_bits_lose_less_of_a_smoothed_transformer(tmp_path: Path) -> None:
    source = SAMPLE.write(tmp_path / "m", "onnx")
    expected = SAMPLE.answers(ITEMS)
    plain, smooth = (
        float(np.abs(answers(make(name, source, tmp_path / name, CALIBRATION)) - expected).mean())
        for name in ("int8-static", "int8-smooth")
    )
    assert 0 < smooth < plain / 2


def test_what_does_not_attend_is_refused(tmp_path: Path) -> None:
    sample = tiny_pictures(32)
    with pytest.raises(CandidateFailure, match="no transformer") as caught:
        make("int8-smooth", sample.write(tmp_path / "m", "onnx"), tmp_path / "out", sample.items(4))
    assert caught.value.kind == "build"


def test_an_asymmetric_transformer_is_no_second_variant(tmp_path: Path) -> None:
    with pytest.raises(CandidateFailure, match="it is int8-nncf"):
        make("int8-asymmetric", SAMPLE.write(tmp_path / "m", "onnx"), tmp_path / "out", CALIBRATION)
