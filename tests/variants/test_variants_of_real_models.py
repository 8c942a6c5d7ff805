from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.variants import make

PICTURES = 200
CALIBRATION = 60


def answers(runtime: str, path: Path, name: str, items: Array, precision: str = "f32") -> Array:
    session = open_session(runtime, path, SessionSettings(threads=2, precision=precision))
    return np.concatenate([session.run(0, {name: items[at : at + 4]})[0] for at in range(0, len(items), 4)])


def agreement(one: Array, other: Array) -> float:
    return float((one.argmax(1) == other.argmax(1)).mean())


@pytest.fixture(scope="module")
def pictures(mirror: Path) -> Array:
    """Real pictures as EfficientNet-Lite0 takes them: float32 [260, 3, 224, 224], drawn over all classes."""
    from PIL import Image

    folder = mirror / "imagenet1000"
    with (folder / "labels.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    chosen = np.random.default_rng(0).permutation(len(names))[: CALIBRATION + PICTURES]
    read = []
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for at in chosen:
            picture = Image.open(io.BytesIO(archive.read(names[at]))).convert("RGB")
            pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
            read.append(((pixels - 127) / 128).transpose(2, 0, 1))
    return np.stack(read)


@pytest.mark.parametrize(
    ("variant", "runtime"), [("int8-static", "onnxruntime"), ("int8-static", "openvino"), ("int8-nncf", "openvino")]
)
def test_efficientnet_in_eight_bits_answers_nearly_as_the_original(
    variant: str, runtime: str, models: Path, pictures: Array, tmp_path: Path
) -> None:
    source = models / "efficientnet_lite0.onnx"
    made = make(variant, source, tmp_path / "out", {"input": pictures[:CALIBRATION]})
    items = pictures[CALIBRATION:]
    expected, got = answers("onnxruntime", source, "input", items), answers(runtime, made, "input", items)
    assert agreement(got, expected) >= 0.95
    assert not np.allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("variant", "runtime", "at_least"),
    [
        ("optimised", "onnxruntime", 1.0),
        ("int8-dynamic", "onnxruntime", 0.98),
        ("int8-static", "onnxruntime", 0.98),
        # With some versions OpenVINO computes the LSTM itself in 8 bits and is wrong on most items: that it is fast
        # and wrong is for the weigher to see, not for the maker.
        ("int8-nncf", "openvino", 0.0),
    ],
)
def test_variants_of_an_lstm_are_made_and_run(
    variant: str, runtime: str, at_least: float, models: Path, tmp_path: Path
) -> None:
    source = models / "lstm_10class.onnx"
    with np.load(models / "lstm_10class.npz", allow_pickle=False) as stored:
        calibration, items = stored["cal"], stored["ev"][:256]
    made = make(variant, source, tmp_path / "out", {"x": calibration})
    got = answers(runtime, made, "x", items)
    assert got.shape == (256, 10)
    assert np.isfinite(got).all()
    assert agreement(got, answers("onnxruntime", source, "x", items)) >= at_least
